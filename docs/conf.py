"""Configuration of the documentation site: Sphinx, numpydoc, sphinx-gallery; builds without a network."""

import os
import re

from docutils import nodes

os.environ.setdefault("MPLBACKEND", "agg")

import gnsopt

project = "gnsopt"
author = "the gnsopt developers"
copyright = author
release = version = gnsopt.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",  # for what is Markdown in the repository: the architecture, results
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
templates_path = ["templates"]
exclude_patterns = ["templates", "tutorials/GALLERY_HEADER.rst"]
default_role = "py:obj"  # `name` in a docstring is a link where there is something to link to
nitpicky = False
suppress_warnings = [
    "config.cache",  # sphinx-gallery keeps a function in its configuration
    "myst.header",  # parts of the result files are included below headings of their own
    "myst.xref_missing",  # and name files of the repository that are no pages
]

# ------------------------------------------------------------------------------------------------------ reference

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the types are in the numpydoc sections
numpydoc_show_class_members = False  # the template of a class lists them
numpydoc_xref_param_type = False

# ------------------------------------------------------------------------------------------------------ tutorials

sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "auto_tutorials",
    "filename_pattern": r"tutorial_.*\.py",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 3600,  # times would make two builds differ
    "write_computation_times": False,
    "download_all_examples": False,
    "remove_config_comments": True,
}

# ----------------------------------------------------------------------------------------------------------- html

html_theme = "alabaster"  # comes with Sphinx
html_theme_options = {"description": release, "page_width": "1100px", "sidebar_width": "240px", "fixed_sidebar": True}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_title = f"gnsopt {release}"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False


def literal_formulas(app, what, name, obj, options, lines):
    """Make the docstrings' indented formulas literal blocks, and one paragraph of each reference.

    The house writes a formula as an indented block without a mark, which reStructuredText takes for a quotation. The
    docstring of a module is plain text altogether.
    """
    if what == "module":
        lines[:] = ["::", "", *(f"    {line}" for line in lines)]
        return
    out, references = [], False
    for k, line in enumerate(lines):
        text, indent = line.strip(), len(line) - len(line.lstrip())
        if set(text) == {"-"} and k and len(text) == len(lines[k - 1].strip()):
            references = lines[k - 1].strip() == "References"
        if references and text:
            out += [""] * bool(re.match(r"\[\d+\]", text)) + [text]
            continue
        out.append(line)
        below = next((after for after in lines[k + 2 :] if after.strip()), "")
        ends = text and not text.endswith("::") and not text.startswith((".. ", "- ", "* ", "=", "-"))
        if ends and k + 1 < len(lines) and not lines[k + 1].strip() and len(below) - len(below.lstrip()) > indent:
            out += ["", " " * indent + "::"]
    lines[:] = out


def leave_out(app, what, name, obj, skip, options):
    """Leave out what scikit-learn puts into every estimator: its docstrings link to its own pages."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def unlink(app, doctree, docname):
    """Make plain text of the links of included files to files of the repository that are no pages."""
    for link in list(doctree.findall(nodes.reference)):
        if link.get("refid", "").endswith(".md") or re.fullmatch(r"#.*\.md", link.get("refuri", "")):
            link.replace_self(link.children)


def setup(app):
    """Connect the hooks; the first one comes before numpydoc's."""
    app.connect("autodoc-process-docstring", literal_formulas, priority=100)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("doctree-resolved", unlink)
