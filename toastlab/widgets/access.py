"""Names for screen readers: what ipywidgets leaves out of its sliders, lists and pictures.

ipywidgets 8 gives the handle of a slider no name, reads out the index in its list instead of its
value, drops the hint of a drop-down list, and has no alternative text for a picture. None of it can
be set from Python, so a panel brings a short script of its own, in a hidden output. The same script
tells the kernel when the panel becomes narrow or wide, see `sheet`.
"""

import json
from collections.abc import Mapping

import ipywidgets as w

from toastlab.widgets.sheet import NEEDED, ROOM

PANEL, SENTENCE = "toastlab-panel", "toastlab-sentence"  # classes by which the script finds them

# Runs in the browser, where JupyterLab and Voila call the output's own element `element`.
SCRIPT = """
(() => {
  const hints = %s;
  const set = (part, name, value) => {
    if (part && value && part.getAttribute(name) !== value) part.setAttribute(name, value);
  };
  const name = (panel) => {
    for (const row of panel.querySelectorAll('.widget-inline-hbox')) {
      const label = row.querySelector('label')?.textContent;
      const handle = row.querySelector('.noUi-handle');
      set(handle, 'aria-label', label);
      set(handle, 'aria-valuetext', row.querySelector('.widget-readout')?.textContent);
      set(handle, 'title', hints[label]);
      set(row.querySelector('select'), 'title', hints[label]);
      const field = row.querySelector('input[type=text]');
      if (!label) set(field, 'aria-label', field?.title);
    }
    const said = panel.querySelector('.%s');
    set(said, 'aria-live', 'polite');
    set(panel.querySelector('img'), 'alt', said.textContent.trim() || 'no picture');
  };
  let told;
  const fit = (panel) => {
    const room = panel.querySelector('.%s select');
    const index = Number(panel.clientWidth < %d);
    if (!room || !panel.clientWidth || index === told) return;  // not yet there, or not seen
    told = room.selectedIndex = index;
    room.dispatchEvent(new Event('change', {bubbles: true}));
  };
  const watch = (tries) => {
    const panel = element.closest('.%s');
    if (panel) {
      const seen = {subtree: true, childList: true, characterData: true, attributes: true};
      seen.attributeFilter = ['aria-valuetext'];
      new MutationObserver(() => name(panel)).observe(panel, seen);
      new ResizeObserver(() => fit(panel)).observe(panel);
      name(panel);
    } else if (tries > 0) {  // the output is made before it is put into the panel
      setTimeout(() => watch(tries - 1), 50);
    }
  };
  watch(200);
})();
"""


def naming(hints: Mapping[str, str]) -> w.Output:
    """The output that names a panel's parts.

    Args:
        hints: label of a control -> what it is for.
    """
    script = SCRIPT % (json.dumps(dict(hints)), SENTENCE, ROOM, NEEDED, PANEL)
    data = {"application/javascript": script}
    shown = {"output_type": "display_data", "metadata": {}, "data": data}
    return w.Output(outputs=(shown,), layout=w.Layout(display="none"))
