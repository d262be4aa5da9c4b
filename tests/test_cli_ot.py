"""``gnsopt ot``: what it reads, prints, saves and draws, and its one line for each misuse."""

import csv
import re
import signal
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import linear_sum_assignment
from scipy.sparse import load_npz
from scipy.spatial.distance import cdist

from gnsopt import ot
from gnsopt.cli.misuse import Misuse
from gnsopt.cli.ot_figure import plane
from gnsopt.cli.places import read_places

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def clouds(folder):
    """Two files of points."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((30, 2)), rng.standard_normal((30, 2)) + 1
    np.savetxt("a.csv", X, delimiter=",")
    np.savetxt("b.csv", Y, delimiter=",")
    return X, Y


def facts(output):
    return dict(re.findall(r"^(\S+) {2,}(\S.*?) *$", output, flags=re.MULTILINE))


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]


@pytest.mark.parametrize(
    ("name", "metric"), [("sqeuclidean", "sqeuclidean"), ("euclidean", "euclidean"), ("l1", "cityblock")]
)
def test_it_prints_what_the_library_finds(gns, clouds, name, metric):
    X, Y = clouds
    C = cdist(X, Y, metric)
    code, out, err = gns(f"ot a.csv b.csv --cost {name} --reg-rel 0.02")
    found = ot.solve(None, None, C, reg_rel=0.02)
    said = facts(out)
    assert code == 0
    assert "Traceback" not in err
    assert said["source"] == "a.csv: 30 points in 2 dimensions, equal masses"
    assert f"reg = {found.problem.reg:.6g}, 0.02 of the largest cost" in said["problem"]
    assert float(said["cost"]) == pytest.approx(found.cost, rel=1e-9)
    lower, upper = numbers(said["interval"])
    i, j = linear_sum_assignment(C)
    assert lower <= C[i, j].mean() <= upper
    assert numbers(said["error"])[0] <= 1e-9


def test_plans_are_saved_whole_and_add_up(gns, clouds):
    X, Y = clouds
    found = ot.solve(None, None, cdist(X, Y, "sqeuclidean"), reg=0.05)
    code, out, _ = gns("ot a.csv b.csv --reg 0.05 --save-plan plan.csv --drop 1e-9")
    assert code == 0
    with open("plan.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    P = np.zeros((30, 30))
    for row in rows:
        P[int(row["source"]), int(row["target"])] = float(row["mass"])
    assert_allclose(P, found.plan, atol=1e-9)
    assert f"{len(rows)} pairs" in facts(out)["plan"]
    assert gns("ot a.csv b.csv --reg 0.05 --save-plan plan.npz --drop 1e-9")[0] == 0
    assert_allclose(load_npz("plan.npz").toarray(), P, atol=1e-15)
    few = gns("ot a.csv b.csv --reg 0.05 --save-plan few.npz --drop 0.9")
    assert few[0] == 0
    assert load_npz("few.npz").nnz < len(rows) / 3


def test_headings_masses_and_separators(gns, folder):
    folder.joinpath("a.csv").write_text('# made up\nx;"Weight";y\n0;1;0\n\n0;3;1\n')
    folder.joinpath("b.txt").write_text("0.0 0.0\n0.0 1.0\n")
    places = read_places(folder / "a.csv", False)
    assert_allclose(places.X, [[0, 0], [0, 1]])
    assert_allclose(places.mass, [1, 3])
    code, out, _ = gns("ot a.csv b.txt --reg 0.01")
    assert code == 0
    assert "masses from 1 to 3" in facts(out)["source"]
    assert float(facts(out)["cost"]) == pytest.approx(0.25, abs=1e-6)  # a quarter moves by one


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
def test_a_heading_of_savetxt_is_one(folder, delimiter):
    """It is a comment; without its names the masses would silently be one more coordinate."""
    table = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 3.0]])
    np.savetxt("a.csv", table, delimiter=delimiter, header=f"made up\n{delimiter.join(['x', 'y', 'Mass'])}")
    places = read_places(folder / "a.csv", False)
    assert_allclose(places.X, table[:, :2])
    assert_allclose(places.mass, [1, 3])


@pytest.mark.parametrize("comment", ["weights of last year", "x,y,z", "x,mass", "mass,x,y,z"])
def test_other_comments_are_none(folder, comment):
    folder.joinpath("a.csv").write_text(f"# {comment}\n0,1,2\n# x,y,mass\n0,1,3\n")
    places = read_places(folder / "a.csv", False)
    assert_allclose(places.X, [[0, 1, 2], [0, 1, 3]])
    assert_allclose(places.mass, 1)


def test_a_comma_within_a_cell_between_semicolons(folder):
    folder.joinpath("a.csv").write_text("x, in m;y, in m\n0;1\n2;3\n")
    assert_allclose(read_places(folder / "a.csv", False).X, [[0, 1], [2, 3]])


def test_images_are_masses_on_a_grid(gns, folder):
    imsave = pytest.importorskip("matplotlib.image").imsave
    grey = np.zeros((6, 9))
    grey[1:3, 1:3] = 1.0
    imsave("one.png", grey, cmap="gray", vmin=0, vmax=1)
    imsave("two.png", np.roll(grey, (2, 5), axis=(0, 1)), cmap="gray", vmin=0, vmax=1)
    for name, distance in (("sqeuclidean", 29.0), ("l1", 7.0)):
        code, out, _ = gns(f"ot one.png two.png --cost {name} --reg 0.05 --figure {name}.png")
        assert code == 0
        assert "6 x 9 pixels" in facts(out)["source"]
        lower, upper = numbers(facts(out)["interval"])
        assert lower - 1e-6 <= distance <= upper + 1e-6  # a shift
        assert upper - lower < 1
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    imsave("negative.png", 1 - grey, cmap="gray", vmin=0, vmax=1)
    code, out, _ = gns("ot negative.png two.png --dark --reg 0.05 --cost euclidean")
    assert code == 0
    assert_allclose(read_places(folder / "negative.png", True).mass, read_places(folder / "one.png", True).mass == 0)


def test_colours_are_turned_to_grey(folder):
    imsave = pytest.importorskip("matplotlib.image").imsave
    pixels = np.zeros((2, 2, 3))
    pixels[0, 0], pixels[0, 1], pixels[1, 0] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    imsave("c.png", pixels)
    mass = read_places(folder / "c.png", False).mass
    assert_allclose(mass, np.array([0.299, 0.587, 0.114, 0.0]) / 0.587, atol=1e-6)


@pytest.mark.parametrize("name", ["c.png", "c.tif"])
def test_what_is_transparent_has_no_mass(folder, name):
    image = pytest.importorskip("PIL.Image")
    pixels = np.zeros((2, 3, 4), dtype=np.uint8)
    pixels[..., 3] = [[255, 51, 0], [0, 0, 0]]
    image.fromarray(pixels).save(name)
    assert_allclose(read_places(folder / name, True).mass, [1, 0.2, 0, 0, 0, 0], atol=1e-6)
    with pytest.raises(Misuse, match="--dark"):
        read_places(folder / name, False)
    pixels[..., :3] = 255
    pixels[1, 0, 3] = 255
    image.fromarray(pixels).save(name)
    assert_allclose(read_places(folder / name, False).mass, [1, 0.2, 0, 1, 0, 0], atol=1e-6)
    with pytest.raises(Misuse, match="all pixels are alike"):
        read_places(folder / name, True)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_points_are_drawn_in_any_dimension(gns, folder, dimension):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        np.savetxt(f"{name}.csv", rng.standard_normal((25, dimension)), delimiter=",")
    code, out, _ = gns("ot a.csv b.csv --figure plan.pdf")
    assert code == 0
    assert facts(out)["figure"] == "plan.pdf"
    assert (folder / "plan.pdf").read_bytes().startswith(b"%PDF")


def test_the_plane_keeps_the_most_of_the_distances():
    rng = np.random.default_rng(2)
    flat = rng.standard_normal((20, 2)) @ np.array([[1.0, 2.0, 0.0, 1.0], [0.0, 1.0, 3.0, 0.0]])  # a plane in R^4
    X, Y = plane(flat[:12], flat[12:])
    assert_allclose(cdist(X, Y), cdist(flat[:12], flat[12:]), rtol=1e-12)


def test_a_figure_without_matplotlib_is_refused_before_any_work(gns, clouds, folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    code, out, err = gns("ot a.csv b.csv --figure plan.png --save-plan plan.csv")
    assert (code, out) == (2, "")
    assert err == "gnsopt: error: --figure plan.png needs Matplotlib: pip install 'gnsopt[plot]'\n"
    assert not (folder / "plan.csv").exists()
    assert gns("ot a.csv b.csv --save-plan plan.csv")[0] == 0


def test_not_converged_is_exit_code_1_and_still_saved(gns, clouds, folder):
    code, out, _ = gns("ot a.csv b.csv --reg 1e-3 --maxiter 3 --method sinkhorn --save-plan plan.csv")
    assert code == 1
    assert "max_iter" in facts(out)["status"] or "iterations" in facts(out)["status"]
    assert (folder / "plan.csv").exists()


def test_quiet_is_silent(gns, clouds):
    assert gns("ot a.csv b.csv --quiet") == (0, "", "")


def test_lines_fit_into_80_columns(gns, clouds, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, err = gns("ot a.csv b.csv --save-plan plan.csv")
    assert max(map(len, (out + err).splitlines())) <= 80
    _, out, _ = gns("ot --help")
    assert "SOURCE" in out
    assert "TARGET" in out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("ot a.csv", "Missing argument 'TARGET'"),
        ("ot a.csv none.csv", "none.csv is no file: name a CSV file"),
        ("ot a.csv three.csv", "a.csv has 2 coordinates a point, three.csv 3"),
        ("ot a.csv bad.csv", "bad.csv, line 3: 'two' is no finite number"),
        ("ot a.csv nan.csv", "nan.csv, line 1: 'nan' is no finite number"),
        ("ot a.csv ragged.csv", "ragged.csv, line 2 has 3 columns, the first line 2"),
        ("ot a.csv empty.csv", "empty.csv holds no points"),
        ("ot a.csv commas.csv", "commas.csv, line 2: '1,5;2' has decimal commas: write points"),
        ("ot a.csv tabs.csv", "tabs.csv, line 1: '-1,5e3\\t2,5' has decimal commas: write points"),
        ("ot a.csv blanks.csv", "blanks.csv, line 1: '1 2,5' has decimal commas: write points"),
        ("ot a.csv heading.csv", "heading.csv holds a heading but no points"),
        ("ot a.csv masses.csv", "masses.csv has the columns mass, weight: one may hold masses"),
        ("ot a.csv negative.csv", "is negative"),
        ("ot a.csv bytes.csv", "bytes.csv is no text"),
        ("ot a.csv broken.png", "broken.png cannot be read as an image"),
        ("ot a.csv black.png", "black.png has no mass: all pixels are black; --dark"),
        ("ot a.csv b.csv --reg 0", "reg=0.0 must be"),
        ("ot a.csv b.csv --reg 1 --reg-rel 1", "give --reg or --reg-rel, not both"),
        ("ot a.csv b.csv --method newtn", "method 'newtn' is unknown; did you mean 'newton'?"),
        ("ot a.csv b.csv --cost l2", "l2"),
        ("ot a.csv b.csv --tol -1", "--tol -1 is no tolerance"),
        ("ot a.csv b.csv --drop 1", "--drop 1 is no fraction"),
        ("ot a.csv b.csv --save-plan plan.txt", "plan.txt must end in .csv or .npz"),
        ("ot a.csv b.csv --save-plan no/plan.csv", "the folder no does not exist"),
        ("ot a.csv b.csv --figure plan.txt", "plan.txt must end in"),
    ],
)
def test_misuse_is_one_line_that_names_the_cure(gns, clouds, folder, command, message):
    folder.joinpath("three.csv").write_text("1,2,3\n")
    folder.joinpath("bad.csv").write_text("x,y\n1,2\n1,two\n")
    folder.joinpath("nan.csv").write_text("1,nan\n")
    folder.joinpath("ragged.csv").write_text("1,2\n1,2,3\n")
    folder.joinpath("empty.csv").write_text("\n# nothing\n")
    folder.joinpath("commas.csv").write_text("x;y\n1,5;2\n")
    folder.joinpath("tabs.csv").write_text("-1,5e3\t2,5\n")
    folder.joinpath("blanks.csv").write_text("1 2,5\n")
    folder.joinpath("heading.csv").write_text("x,y\n")
    folder.joinpath("masses.csv").write_text("mass,weight\n1,2\n")
    folder.joinpath("negative.csv").write_text("x,y,mass\n1,2,-1\n1,2,2\n")
    folder.joinpath("bytes.csv").write_bytes(b"\xff\xfe\x00\x81")
    folder.joinpath("broken.png").write_bytes(b"\x89PNG no")
    if "black" in command:
        pytest.importorskip("matplotlib.image").imsave("black.png", np.zeros((2, 2)), cmap="gray", vmin=0, vmax=1)
    code, out, err = gns(command)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert message in err


def test_out_of_memory_is_one_line_with_a_cure_for_transport(gns, clouds, monkeypatch):
    def full(*arguments, **options):
        raise MemoryError("plan")

    for name in ("solve", "facts_of_result"):
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["gnsopt.cli.ot"], name, full)
            code, _, err = gns("ot a.csv b.csv")
        assert code == 2
        assert "out of memory (plan): thin out the points or shrink the images" in err
        assert "curvature" not in err


def test_an_image_without_contrast_has_no_dark_pixels(folder):
    imsave = pytest.importorskip("matplotlib.image").imsave
    imsave("white.png", np.ones((2, 2)), cmap="gray", vmin=0, vmax=1)
    with pytest.raises(Misuse, match="all pixels are alike"):
        read_places(folder / "white.png", True)


def test_ctrl_c_ends_a_run_with_its_plan(gns, clouds, folder, monkeypatch):
    """The run would take very long; a signal at its third report ends it."""
    from gnsopt.cli.screen import Meter

    follow = Meter.follow

    def watched(meter, label):
        show, seen = follow(meter, label), 0

        def callback(intermediate_result):
            nonlocal seen
            seen += 1
            show(intermediate_result=intermediate_result)
            if seen == 3:
                signal.raise_signal(signal.SIGINT)

        return callback

    monkeypatch.setattr(Meter, "follow", watched)
    code, out, _ = gns("ot a.csv b.csv --reg 1e-4 --method sinkhorn --maxiter 100000000 --tol 1e-14 --save-plan p.csv")
    assert code == 130
    assert "interrupted" in facts(out)["status"]
    assert (folder / "p.csv").exists()
