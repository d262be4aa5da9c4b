"""Figures: what is drawn is the data, every curve can be told from the others, and nothing global is touched."""

import subprocess
import sys

import numpy as np
import pytest

from gnsopt import Logistic, datasets, minimize
from gnsopt.plotting import COLORS, EPS, MARKERS, STYLES, convergence, resolution


def traces():
    """Two runs: the first reaches the lowest value, the second takes twenty times as many gradients."""
    few, many = np.arange(1.0, 11.0), np.arange(1.0, 201.0)
    return {
        "fast": {"fun": 2 + 10.0**-few, "njev": few, "time": few / 100},
        "slow": {"fun": 2 + 10.0 ** (-many / 40), "njev": many, "time": many / 2000},
    }


def lines(panel):
    return {line.get_label(): line for line in panel.get_lines() if not line.get_label().startswith("_")}


def test_curves_are_the_gaps():
    runs = traces()
    figure = convergence(runs, 2.0)
    for panel, column in zip(figure.axes, ("njev", "time"), strict=True):
        assert panel.get_yscale() == "log"
        drawn = lines(panel)
        assert list(drawn) == list(runs)
        for label, run in runs.items():
            np.testing.assert_array_equal(drawn[label].get_xdata(), run[column])
            np.testing.assert_array_equal(drawn[label].get_ydata(), run["fun"] - 2.0)


def test_minimum_defaults_to_the_lowest_value_and_gaps_stop_at_rounding():
    runs = traces()
    drawn = lines(convergence(runs).axes[0])
    f_star = runs["fast"]["fun"].min()
    assert drawn["fast"].get_ydata()[-1] == EPS * f_star
    np.testing.assert_array_equal(drawn["slow"].get_ydata(), runs["slow"]["fun"] - f_star)


def notes(panel):
    return [text.get_text() for text in panel.texts]


def test_an_exact_zero_is_drawn_below_all_other_gaps_and_named():
    runs = {"a": {"fun": np.array([1.0, 1e-30, 0.0]), "njev": np.array([1, 2, 3]), "time": np.array([0.0, 1.0, 2.0])}}
    panel = convergence(runs, 0.0).axes[0]
    np.testing.assert_allclose(lines(panel)["a"].get_ydata(), [1, 1e-30, 1e-31], rtol=1e-12)
    assert notes(panel) == ["$f = f^*$ in float64"]


def test_a_constant_run_is_drawn():
    runs = {"a": {"fun": np.zeros(2), "njev": np.array([1, 2]), "time": np.array([0.0, 1.0])}}
    assert np.all(lines(convergence(runs).axes[0])["a"].get_ydata() > 0)


def test_the_line_of_rounding_is_drawn_only_where_a_gap_is_rounding():
    runs = traces()
    far = convergence(runs, 1.0).axes[0]
    assert not notes(far)
    assert all(line.get_linestyle() != ":" for line in far.get_lines())
    assert far.get_ylim()[0] > 0.1, "an axis down to the rounding of f"
    assert notes(convergence(runs).axes[0]) == ["rounding of $f^*$"]


def test_what_lies_below_the_minimum_is_rounding_too():
    assert resolution([np.array([1.0, -3e-13]), np.array([2.0, 1e-9])], 1.0) == 3e-13
    assert resolution([np.array([1.0, np.nan])], 1.0) == EPS
    runs = {"a": {"fun": np.array([2.0, 1 - 3e-13]), "njev": np.array([1, 2]), "time": np.array([0.0, 1.0])}}
    assert lines(convergence(runs, 1.0).axes[0])["a"].get_ydata()[-1] == pytest.approx(3e-13, rel=1e-3)


def test_the_start_is_drawn_at_zero_on_a_logarithmic_axis():
    short, long = np.arange(4.0), np.arange(101.0)
    runs = {str(k.size): {"fun": 2 + 2.0**-k, "nit": k, "time": k / 1000} for k in (short, long)}
    for panel, first in zip(convergence(runs, 2.0, against=("nit", "time")).axes, (1.0, 1e-3), strict=True):
        (at,) = {float(line.get_xdata()[0]) for line in lines(panel).values()}
        assert at == 0.0
        place = panel.transAxes.inverted().transform(
            panel.transData.transform([[x, 1] for x in (0, first, 10 * first)])
        )
        assert 0 <= place[0, 0] < place[1, 0] < place[2, 0] <= 1
        assert place[1, 0] - place[0, 0] < place[2, 0] - place[1, 0], "the part that is not logarithmic is too wide"


def test_work_axis_is_logarithmic_only_for_runs_of_different_length():
    counts, seconds = convergence(traces(), 2.0).axes
    assert (counts.get_xscale(), seconds.get_xscale()) == ("log", "linear")


def test_axes_and_legend_are_labelled():
    figure = convergence(traces(), title="two runs")
    assert [panel.get_xlabel() for panel in figure.axes] == ["gradient evaluations", "time (seconds)"]
    assert "f" in figure.axes[0].get_ylabel()
    assert figure.get_suptitle() == "two runs"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fast", "slow"]


@pytest.mark.parametrize("count", [1, 5, 12])
def test_legend_hides_nothing(count):
    run = traces()["fast"]
    figure = convergence({f"gns:gauss-newton:tridiagonal {k}": run for k in range(count)}, title="many")
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    legend = figure.legends[0].get_window_extent(renderer)
    assert figure.bbox.x0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1
    for panel in figure.axes:
        assert not legend.overlaps(panel.get_tightbbox(renderer)), "the legend lies on a panel"


def test_curves_differ_in_colour_and_in_line_style():
    period = len(COLORS) * len(STYLES) * len(MARKERS)
    looks = {(k % len(COLORS), k % len(STYLES), k % len(MARKERS)) for k in range(period)}
    assert len(looks) == period
    run = traces()["fast"]
    drawn = list(lines(convergence({str(k): run for k in range(len(STYLES))}).axes[0]).values())
    assert len({line.get_color() for line in drawn}) == len(STYLES)
    assert len({str(line._dash_pattern) for line in drawn}) == len(STYLES), "two curves look alike in grey"


def test_trace_of_a_run_is_drawn():
    X, y = datasets.make_logistic(60, 5, seed=1)
    result = minimize(Logistic(X, y, l2=1e-2))
    drawn = lines(convergence({"gns": result.trace}, against=("nit",)).axes[0])["gns"]
    np.testing.assert_array_equal(drawn.get_xdata(), np.arange(result.nit + 1))


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_figure_is_written(tmp_path, suffix, magic):
    path = tmp_path / f"figure{suffix}"
    convergence(traces()).savefig(path)
    assert path.read_bytes().startswith(magic)


def test_no_run_is_refused():
    with pytest.raises(ValueError, match="traces is empty"):
        convergence({})


def test_missing_matplotlib_names_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'gnsopt\[plot\]'"):
        convergence(traces())


def test_matplotlib_is_imported_at_the_first_figure_and_pyplot_never():
    code = """
import sys
import numpy as np
from gnsopt import plotting
assert "matplotlib" not in sys.modules
plotting.convergence({"a": {"fun": np.array([2.0, 1.0]), "njev": np.array([1, 2]), "time": np.array([0.0, 1.0])}})
assert "matplotlib" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
