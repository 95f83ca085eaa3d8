"""Data to figures. Every plot has a `describe_*` beside it that says in words what it shows; the
figure carries these words as its alternative text, `alt`.

Figures are made without pyplot: nothing global, nothing left open, the same in a notebook, a report
and a background thread.
"""

from toastlab.plots.ablation import (
    ablation_view,
    along_view,
    describe_ablation_view,
    describe_along_view,
    describe_pairs_view,
    describe_planes_view,
    describe_setting_gains_view,
    pairs_view,
    planes_view,
    setting_gains_view,
)
from toastlab.plots.carried import carried_view, describe_carried_view
from toastlab.plots.claims import claims_view, describe_claims_view
from toastlab.plots.classes import (
    degrees_view,
    describe_degrees_view,
    describe_over_epochs,
    over_epochs,
)
from toastlab.plots.curves import describe_forest, describe_learning_curves, forest, learning_curves
from toastlab.plots.diagnostics import (
    data_map,
    describe_data_map,
    describe_reliability,
    reliability,
)
from toastlab.plots.embedding import describe_tsne_view, tsne_view
from toastlab.plots.fixed_point import describe_fixed_point_view, fixed_point_view
from toastlab.plots.gains import (
    describe_gains_view,
    describe_price_view,
    gains_view,
    price_view,
)
from toastlab.plots.galleries import (
    describe_medoid_gallery,
    describe_sample_gallery,
    describe_soft_target_bars,
    medoid_gallery,
    sample_gallery,
    soft_target_bars,
)
from toastlab.plots.pushes import describe_pushes_view, pushes_view
from toastlab.plots.reading import describe_reading_view, reading_view
from toastlab.plots.regime import describe_regime_view, regime_view
from toastlab.plots.regime_methods import (
    cell_view,
    describe_cell_view,
    describe_gain_by_loss_view,
    describe_regime_counts_view,
    gain_by_loss_view,
    regime_counts_view,
)
from toastlab.plots.scores import describe_scores_view, scores_view
from toastlab.plots.search import Search, describe_search_view, search_view
from toastlab.plots.shifts import describe_shifts_view, shifts_view
from toastlab.plots.style import Picture, drawn_png, narrow, style, to_data_uri, to_png

__all__ = [
    "Picture",
    "Search",
    "ablation_view",
    "along_view",
    "carried_view",
    "cell_view",
    "claims_view",
    "data_map",
    "degrees_view",
    "describe_ablation_view",
    "describe_along_view",
    "describe_carried_view",
    "describe_cell_view",
    "describe_claims_view",
    "describe_data_map",
    "describe_degrees_view",
    "describe_fixed_point_view",
    "describe_forest",
    "describe_gain_by_loss_view",
    "describe_gains_view",
    "describe_learning_curves",
    "describe_medoid_gallery",
    "describe_over_epochs",
    "describe_pairs_view",
    "describe_planes_view",
    "describe_price_view",
    "describe_pushes_view",
    "describe_reading_view",
    "describe_regime_counts_view",
    "describe_regime_view",
    "describe_reliability",
    "describe_sample_gallery",
    "describe_scores_view",
    "describe_search_view",
    "describe_setting_gains_view",
    "describe_shifts_view",
    "describe_soft_target_bars",
    "describe_tsne_view",
    "drawn_png",
    "fixed_point_view",
    "forest",
    "gain_by_loss_view",
    "gains_view",
    "learning_curves",
    "medoid_gallery",
    "narrow",
    "over_epochs",
    "pairs_view",
    "planes_view",
    "price_view",
    "pushes_view",
    "reading_view",
    "regime_counts_view",
    "regime_view",
    "reliability",
    "sample_gallery",
    "scores_view",
    "search_view",
    "setting_gains_view",
    "shifts_view",
    "soft_target_bars",
    "style",
    "to_data_uri",
    "to_png",
    "tsne_view",
]
