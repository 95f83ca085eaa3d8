"""Sphinx: formulas as MathML, made when the site is built.

Every current browser draws MathML itself, with the fonts of its system, and a screen reader can
read it. So no script and no font has to come from anywhere. Docutils turns LaTeX into it; what it
does not know is a warning, which `make docs` takes for an error.
"""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

# Docutils has \bigl but not \big, and writes "log p" without the space.
BIG = re.compile(r"\\(big|Big|bigg|Bigg)(?![a-zA-Z])")
FUNCTION = re.compile(r"\\(log|exp|cos|sin|ln)(?=\s+[\w\\])")


def mathml(latex: str, block: bool) -> str:
    """A formula as MathML.

    Args:
        latex: without the dollars around it.
        block: on a line of its own.
    """
    latex = FUNCTION.sub(r"\\\1\\,", BIG.sub(r"\\\1l", latex))
    return str(latex2mathml.tex2mathml(latex.strip(), as_block=block))


def write(translator: HTML5Translator, node: nodes.Element, block: bool) -> None:
    """Writes a formula, or its LaTeX with a warning where it cannot be read."""
    latex = node.astext()
    try:
        html = mathml(latex, block)
    except latex2mathml.MathError as error:
        logger.warning("formula %r: %s", latex, error, location=node)
        html = f"<code>{translator.encode(latex)}</code>"
    translator.body.append(f'<div class="formula">{html}</div>' if block else html)
    raise nodes.SkipNode


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """A formula in a line."""
    write(translator, node, False)


def displayed(translator: HTML5Translator, node: nodes.math_block) -> None:
    """A formula of its own."""
    write(translator, node, True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
