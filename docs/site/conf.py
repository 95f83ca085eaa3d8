"""How Sphinx makes the site of docs/, the notebooks and the docstrings: `make docs`.

The pages are the files of the repository, where they stand, so the folder of sources is its root.
The notebooks are shown as they are stored and are not run. A built page asks no other host for
anything; `check.py` beside this file looks that it does not, and that every link inside the site
leads somewhere.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]  # the extensions below; toastlab as it is checked out

project = "toastlab"
author = "the toastlab authors"
project_copyright = "2026 the toastlab authors, MIT licence"
language = "en"

extensions = [
    "myst_nb",  # Markdown and notebooks
    "sphinx.ext.autodoc",  # docstrings
    "sphinx.ext.napoleon",  # which are Google's style
    "sphinx.ext.viewcode",  # with the code behind them
    "rooms",  # {room} and {public}: the pages under docs/api
    "docstrings",  # our docstrings in autodoc's words
    "sections",  # which page stands under which
    "maths",  # formulas as MathML
    "notebook_pages",  # alt texts, and where to run a notebook
    "explorer_pages",  # explorers as pages
    "repository_links",  # links to folders and code of the repository
]

root_doc = "docs/index"
include_patterns = [
    *("*.md", "data/README.md", "docs/*.md", "docs/api/*.md"),
    *("notebooks/*.ipynb", "notebooks/README.md", "notebooks/course/*.md"),
]
exclude_patterns = ["**.ipynb_checkpoints"]
templates_path = ["templates"]

# Notebooks: what is stored, whatever is newer.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"

# Markdown as a code host reads it: its anchors of headings, its dollars for maths.
myst_enable_extensions = ["dollarmath", "attrs_block", "attrs_inline"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
highlight_language = "default"  # Python where it can be that, plain text otherwise

# Docstrings: `name` is code in them, and types stand with the arguments.
default_role = "code"
add_module_names = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
viewcode_line_numbers = True

# pydata-sphinx-theme: kept up by the PyData projects, whose users ours are; its scripts, styles and
# icons come with it, and it looks after keyboards, screen readers, dark mode and small screens.
html_theme = "pydata_sphinx_theme"
html_title = "toastlab"
html_short_title = "toastlab"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/favicon.svg"
html_copy_source = True
html_sourcelink_suffix = ""  # a notebook's source is the notebook
html_additional_pages = {"index": "to_front.html"}
html_theme_options = {
    "logo": {
        "text": "toastlab",
        "image_light": "static/favicon.svg",
        "image_dark": "static/favicon.svg",
    },
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 1,
    "navigation_depth": 2,
    "show_nav_level": 1,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": ["page-toc", "launch"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "back_to_top_button": False,
}
html_sidebars = {"docs/index": [], "index": []}
