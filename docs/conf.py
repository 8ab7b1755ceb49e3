"""Settings of Sphinx, which builds docs/ into a site (`make docs`)."""
import tfpoets

project = "tfpoets"
author = "the tfpoets authors"
release = tfpoets.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"tfpoets {release}"
html_copy_source = False

# The headings of all pages can be linked to, as on GitHub.
myst_heading_anchors = 4
# The walkthroughs are shown with the outputs that they contain; the tests run them.
nb_execution_mode = "off"
# Notes such as `<!-- tests/test_docs.py runs this -->` are for readers of the source.
suppress_warnings = ["myst.strikethrough"]

# Blocks without a language are commands and outputs.
highlight_language = "text"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
