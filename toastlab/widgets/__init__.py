"""Panels for notebooks and the dashboard; the only place that imports ipywidgets."""

from toastlab.widgets.ablation import AblationPanel
from toastlab.widgets.medoids import MedoidPanel
from toastlab.widgets.panel import Panel
from toastlab.widgets.samples import SamplePanel
from toastlab.widgets.targets import TargetPanel
from toastlab.widgets.tsne import TsnePanel

__all__ = ["AblationPanel", "MedoidPanel", "Panel", "SamplePanel", "TargetPanel", "TsnePanel"]
