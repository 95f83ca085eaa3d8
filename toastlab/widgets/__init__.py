"""Panels for notebooks and the dashboard; the only place that imports ipywidgets and anywidget."""

from toastlab.widgets.ablation import AblationPanel
from toastlab.widgets.explorer import Explorer
from toastlab.widgets.medoids import MedoidPanel
from toastlab.widgets.panel import Panel
from toastlab.widgets.readings import ReadingPanel
from toastlab.widgets.regime import RegimePanel
from toastlab.widgets.samples import SamplePanel
from toastlab.widgets.targets import TargetPanel
from toastlab.widgets.tsne import TsnePanel
from toastlab.widgets.visitors import take_only_controls

__all__ = [
    "AblationPanel",
    "Explorer",
    "MedoidPanel",
    "Panel",
    "ReadingPanel",
    "RegimePanel",
    "SamplePanel",
    "TargetPanel",
    "TsnePanel",
    "take_only_controls",
]
