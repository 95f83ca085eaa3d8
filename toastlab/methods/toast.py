"""TOAST: class-medoid soft targets, and past predictions for the under-trained samples.

Source: Z. Yin, J. Pu, Y. Zhou, X. Xue, "Two-Stage Approach for Targeted Knowledge Transfer in
Self-Knowledge Distillation", IEEE/CAA J. Autom. Sinica 11(11):2270-2283, 2024,
doi 10.1109/JAS.2024.124629.

[S] marks what the source's abstract states, [R] our reading, each an option. The paper's own
equations are not public: nothing here is to be quoted as theirs.

    [S] stage 1: hard targets softened with class medoids of the logits
    [S] stage 2: under-trained samples distilled from past predictions, half a batch of them
    [S] both are linearly combined

One sample's way: it is drawn (`next_batch`) or brought by a loader (`join`), behind those carried
with their past predictions; its loss is taken (`loss`); its logits go into the bank and say whether
it is carried into the next batch (`update`); when the epoch ends the bank makes new medoids
(`end_epoch`). With source "memory" it is marked when it comes up, by what the bank has of it.

What the abstract leaves open and the defaults settle; [R], or ours where it says so:

1. Under-trained is misclassified, the least p(label) first, at most half a batch (`criterion`).
2. A carried sample is distilled and nothing else: L2 is T_p^2 times the mean KL over the carried
   samples (`divide_by`), L1 the mean over the new ones (`carried_loss`). Ours, as an option: its
   target is (1 - s) t + s p(z_past; T_p) with s = b max p (confidence).
3. Ours: both weights grow from 0 to full while the share that was right at the last visit grows
   from `fit_from` to `fit_full`, once an epoch (`ramp`). While b is 0, nobody is carried.
4. A sample is carried once in a row (`max_visits`), and the carry is dropped at the end of an epoch
   (`keep_carry`).
5. A class without a correctly classified sample when medoids are made gets its hard target back,
   whatever medoid it had before (`no_candidate`, `scope`). That is judged by the last visit, maybe
   in an earlier epoch: logits in training mode, of the image as augmented then. Medoids are of
   these logits and take no pass; of equal sums the lowest index is the medoid.
6. In the first epoch all targets are hard, since there are no medoids yet. The stream draws a
   permutation at the start of every epoch, needed or not.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from toastlab.core import losses
from toastlab.core.carry import CarryState, Criterion, select, under_trained
from toastlab.core.errors import BadValue
from toastlab.core.losses import Divisor, Loss, soft_cross_entropy
from toastlab.core.settings import (
    Count,
    PositiveShare,
    Range,
    Share,
    ShareBelowOne,
    Temperature,
    Weight,
)
from toastlab.core.stream import Batch, Stream
from toastlab.medoids.exact import Distance
from toastlab.medoids.state import MedoidState
from toastlab.medoids.targets import (
    Medoids,
    Prototype,
    Scope,
    candidates,
    class_medoids,
    class_targets,
    describe_medoids,
    prototype_targets,
)
from toastlab.methods.base import Method, MethodConfig
from toastlab.methods.plan import MixedCarry


@dataclass(frozen=True)
class ToastConfig(MethodConfig):
    """TOAST. Both weights 0 is cross-entropy; one of them 0 is the other stage alone.

    Example:
        >>> ToastConfig(carried_loss="distilled", past_weight=3).ramp
        'fit'
    """

    name: ClassVar[str] = "toast"

    medoid_weight: Share = 0.3  # Share a of the medoid's soft target, in [0, 1].
    # Weight b of the past predictions, 0 to 1000; for target a + b <= 1, for confidence b <= 1.
    past_weight: Weight = 3.0
    # What a carried sample is taught: its past prediction only, L1 being the mean over the new
    # samples (distilled); its label and the KL (label-and-kl); or one mixed target, in which the
    # past prediction has the share b (target) or, ours, b times its own confidence (confidence).
    carried_loss: Literal["distilled", "label-and-kl", "target", "confidence"] = "distilled"
    # Ours: how both weights grow: none (constant), linear (over the planned epochs) or fit
    # (by the share got right). While they are 0, nothing is carried.
    ramp: Literal["none", "linear", "fit"] = "fit"
    fit_from: ShareBelowOne = 0.8  # Share got right, in [0, 1), at which ramp fit begins.
    fit_full: PositiveShare = 1.0  # Share got right, in (0, 1], at which ramp fit is full.
    # Temperature T_m of the medoid's soft target, 0.01 to 1000.
    medoid_temperature: Temperature = 1.0
    distance: Distance = "euclidean"  # Distance: euclidean, squared-euclidean, cosine or manhattan.
    # Candidates: the rightly classified of the class (correct), or all of it (all).
    scope: Scope = "correct"
    # A class without candidate: hard target (hard), or that of its last medoid (last-medoid).
    no_candidate: Literal["hard", "last-medoid"] = "hard"
    refresh_every: Count = 1  # Epochs between two medoid computations, 1 to 100000.
    # MiB for blocks of rows and distances, 4 to 2^20; it changes no result.
    medoid_memory: Annotated[int, Range(4, 2**20)] = 256
    # Prototype: medoid; its controls are mean, mean-softmax (as OLS) and uniform (as LS).
    prototype: Prototype = "medoid"
    past_temperature: Temperature = 1.0  # Temperature T_p of the past predictions, 0.01 to 1000.
    # Who is under-trained: misclassified, probability, quantile, medoid-distance; or all. Random is
    # misclassified with random-carry.
    criterion: Criterion = "misclassified"
    random_carry: bool = False  # Control: carry as many as the criterion marks, drawn evenly.
    # For probability: carried below this true-class probability, in (0, 1].
    threshold: PositiveShare = 0.5
    share: PositiveShare = 0.25  # For quantile and medoid-distance: share of a batch, in (0, 1].
    # Past: carried into the next batch (carry), or each sample's last visit (memory).
    source: Literal["carry", "memory"] = "carry"
    # Carried samples replace new ones (replace), or come on top (extra).
    layout: Literal["replace", "extra"] = "replace"
    # Times in a row a sample is carried, 1 to 100000; more than 1: until it is trained.
    max_visits: Count = 1
    # The KL's mean is over the carried samples (carried) or over the batch (batch).
    divide_by: Divisor = "carried"
    keep_carry: bool = False  # Keep the carry at the end of an epoch.
    replay: bool = False  # Control: carry even at past weight 0, so that only the sampling acts.
    # Carried samples under Mixup and CutMix: unmixed, repeat (the same mix) or stored.
    mixed_carry: MixedCarry = "unmixed"

    def __post_init__(self) -> None:
        super().__post_init__()
        begin, full, b = self.fit_from, self.fit_full, self.past_weight
        shares = {"target": self.medoid_weight + b, "confidence": b}.get(self.carried_loss, 0.0)
        if shares > 1:
            raise BadValue(f"the weights add to {shares:g}, above 1: lower medoid or past weight.")
        if begin >= full:
            raise BadValue(f"fit_from is {begin:g}, but must be below fit_full, {full:g}.")
        if self.mixed_carry == "repeat" and self.source == "memory":
            raise BadValue("mixed_carry 'repeat' needs source 'carry': a memory repeats no mix.")


class Toast(Method, config=ToastConfig):
    """TOAST on a device; see `Method` for the face and `ToastConfig` for the options.

    Example:
        >>> import torch
        >>> labels, images = torch.tensor([0, 1, 0, 1]), torch.zeros(2, 1, 8, 8)
        >>> toast = Toast(labels, num_classes=2, batch_size=2, config=ToastConfig(ramp="none"))
        >>> batch = toast.join(images, labels[:2], torch.tensor([0, 1]))
        >>> loss = toast(torch.tensor([[2.0, 0.0], [3.0, 0.0]]), batch)  # the second is wrong
        >>> batch = toast.join(images, labels[2:], torch.tensor([2, 3]))
        >>> batch.index.tolist(), batch.carried.tolist()
        ([1, 2], [True, False])
        >>> round(float(toast(torch.tensor([[1.0, 2.0], [1.0, 0.0]]), batch)), 3)  # L1 + 3 L2
        3.538
        >>> toast.end_epoch()
        >>> toast.medoids.index.tolist()  # samples 0 and 2 are as near: the lower index
        [0, 1]

    Attributes:
        medoids: `index` [K] int64 (-1: none yet) and `logits` [K, K].
        soft: [K, K] float32, the current soft target q_c of each class.
        carry: who goes into the next batch, see `Carry`.
    """

    reads_bank = True
    config: ToastConfig
    epoch: Tensor
    growth: Tensor
    soft: Tensor
    _slots: Tensor
    _blank: Tensor
    _stages: Tensor

    def make_state(self) -> None:
        """Medoids, soft targets, the carry, and the counts of the epochs."""
        cfg, device, k = self.config, self.labels.device, self.num_classes
        self.mixed_carry = cfg.mixed_carry
        self.needs_plan = cfg.ramp == "linear"  # its slope is one over the epochs
        self._second_stage = cfg.past_weight > 0 or cfg.replay
        self._carries = self._second_stage and cfg.source == "carry"
        # both on the CPU, as the host's: a count, and what the ramp makes of the weights
        self.add_state("epoch", torch.zeros((), dtype=torch.int64), "same")
        self.add_state("growth", torch.tensor(1.0 if cfg.ramp == "none" else 0.0), "same")
        self.medoids = MedoidState(k, device)
        self.add_state("soft", torch.eye(k, device=device), "same")
        self.carry = CarryState(self.carry_size, k, device)
        # made once: every kernel that a step need not launch is time saved
        b = self.images_per_batch
        self.register_buffer("_slots", torch.arange(b, device=device), persistent=False)
        self.register_buffer("_blank", torch.zeros(b - self.carry_size, k, device=device), False)
        self.register_buffer("_stages", torch.tensor([[False], [True]], device=device), False)
        self._last: tuple[Tensor, Tensor] | None = None  # join's last batch, which no state has
        self._set_past_weight()
        if cfg.prototype == "uniform":
            self._set_soft(torch.full((k, k), 1 / k, device=device))  # from the first epoch on

    @property
    def carry_size(self) -> int:
        """H, the slots of the carry: half the batch size [S]."""
        return self.batch_size // 2

    @property
    def images_per_batch(self) -> int:
        """B, or with layout "extra" B + H: slots not taken by carried samples go to new ones."""
        extra = self._carries and self.config.layout == "extra"
        return self.batch_size + (self.carry_size if extra else 0)

    def next_batch(self, stream: Stream) -> Batch:
        """The carried samples first, with their past logits, then new ones."""
        if not self._carries:
            batch = super().next_batch(stream)
            return self._remember(batch) if self._second_stage else batch
        carry = self.carry
        index, images = stream.draw(carry.index, carry.count, self.images_per_batch)
        return self._carrying(index, images, self._slots < carry.count)

    def _carrying(self, index: Tensor, images: Tensor, carried: Tensor) -> Batch:
        """A batch whose first samples, `carried` [B] bool, come with their past logits."""
        past = torch.cat([self.carry.logits, self._blank])
        if len(index) < len(past):  # a loader's last batch
            past = past[: len(index)]
        visits = carried.long()  # as far as "once" can tell
        if self.config.max_visits > 1:
            visits *= F.pad(self.carry.visits, (0, len(self._blank)))[: len(index)]
        return self._batch(index, images, carried, past, visits)

    def _join(self, images: Tensor, index: Tensor) -> Batch:
        """The carried samples first, then as many of the loader's as there is room for."""
        if not self._carries:
            batch = super()._join(images, index)
            return self._remember(batch) if self._second_stage else batch
        b, most = len(index), self.images_per_batch
        if b > most:
            raise BadValue(
                f"a batch of {b} samples, but the method was built for {most}: give build the "
                "loader's batch size" + (" times 2 / 3." if self.config.layout == "extra" else ".")
            )
        slots, last = self._slots[:b], self._last
        carried = torch.zeros_like(slots, dtype=torch.bool)
        if last is not None:  # else nobody is carried, or their images are not at hand
            waiting = F.pad(self.carry.index, (0, len(self._blank)))[:b]
            carried = slots < self.carry.count
            new = (slots - self.carry.count).clamp(min=0)
            position = (waiting[:, None] == last[0]).int().argmax(1)
            mask = carried.view(-1, *[1] * (images.ndim - 1))
            images = torch.where(mask, last[1][position], images[new])
            index = torch.where(carried, waiting, index[new])
        self._last = (index, images)
        return self._carrying(index, images, carried)

    def _remember(self, batch: Batch) -> Batch:
        """Source "memory" [R]: the half of the batch most in need, judged by its last visit."""
        batch.past = self.bank.logits[batch.index].float()
        seen = self.bank.seen[batch.index]
        marked, urgency = self._under_trained(batch.past, batch, seen)
        slots, half = torch.arange(len(seen), device=seen.device), min(self.carry_size, len(seen))
        chosen = select(marked & seen, urgency, slots, batch.past, batch.visits, half)
        batch.carried = batch.carried.scatter(0, chosen.index, slots[:half] < chosen.count)
        return batch

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """L = L1 + b L2, or one cross-entropy to the mixed target; logits are [B, K]."""
        cfg, b, targets = self.config, self.past_weight, self.targets(batch)
        if not self.distils:  # nothing to distil: the label of everyone counts
            return losses.combine(soft_cross_entropy(logits, targets), logits.new_zeros(()), 0.0)
        log_past, heat = self._log_past(batch), cfg.past_temperature
        if cfg.carried_loss == "distilled":  # the default, and therefore in few kernels
            loss, log_p = losses.distilled(
                logits, targets, log_past, batch.carried, self._stages, b, heat, cfg.divide_by
            )
            batch.said = (logits, log_p)
            return loss
        past = log_past.exp()
        if cfg.carried_loss == "confidence":  # (1 - b max p) t + b max p p(z_past; T_p)
            share = b * past.amax(1, keepdim=True)
            targets = losses.past_targets(targets, targets, past, batch.carried, share)
        elif cfg.carried_loss == "target":
            hard = batch.mixed_rows(torch.eye(self.num_classes, device=past.device))
            targets = losses.past_targets(targets, hard, past, batch.carried, b)
        if cfg.carried_loss in ("target", "confidence"):
            return losses.combine(soft_cross_entropy(logits, targets), logits.new_zeros(()), 0.0)
        stage2 = losses.masked_mean(
            losses.probability_kl(logits, past, heat), batch.carried, cfg.divide_by
        )
        return losses.combine(soft_cross_entropy(logits, targets), stage2, b)

    def _log_past(self, batch: Batch) -> Tensor:
        """[B, K] log p(z_past; T_p); with `mixed_carry` "stored", of p mixed like the image."""
        heat, past = self.config.past_temperature, batch.past.detach()
        log_past = (past if heat == 1 else past / heat).log_softmax(1)
        if self.config.mixed_carry != "stored":
            return log_past
        other = (self.bank.logits[batch.partner].float() / heat).softmax(1)
        return torch.lerp(other, log_past.exp(), batch.weight[:, None]).clamp(min=1e-37).log()

    def _note(self, logits: Tensor, batch: Batch) -> None:
        """Logits into the bank; the under-trained samples become the next carry."""
        # carried once, `visits` is `carried` as numbers already
        carried = batch.visits if self._carries and self.config.max_visits == 1 else batch.carried
        self.bank.write(batch.index, logits, batch.pure, carried)
        if self._carries and self._acts:
            # the bank has looked at shapes and types, so that nobody need do so again
            marked, urgency = self._under_trained(logits, batch, checked=True)
            index, visits, most = batch.index, batch.visits, self.config.max_visits
            size = min(self.carry_size, len(index))
            self.carry.take(select(marked, urgency, index, logits, visits, size, most, True))

    def _under_trained(
        self, logits: Tensor, batch: Batch, eligible: Tensor | None = None, checked: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Of a batch, those that may be carried once more or, where it is given, are `eligible`."""
        cfg = self.config
        if eligible is None and (cfg.random_carry or cfg.criterion == "random"):
            eligible = batch.visits < cfg.max_visits
        far = cfg.criterion == "medoid-distance"
        return under_trained(
            logits,
            batch.labels,
            cfg.criterion,
            threshold=cfg.threshold,
            share=cfg.share,
            medoid_logits=self.medoids.logits if far else None,
            medoid_exists=self.medoids.exists if far else None,
            at_random=cfg.random_carry,
            eligible=eligible,
            generator=self.generator,
            log_p=batch.log_p(logits),
            checked=checked,
        )

    def _finish_epoch(self) -> None:
        """New medoids from the bank, every `refresh_every` epochs; the carry is dropped."""
        self.epoch += 1
        self._grow()
        if not (self.config.keep_carry and self._acts):
            self.carry.clear()
            self._last = None
        wanted = self.config.medoid_weight > 0 or self.config.criterion == "medoid-distance"
        if wanted and int(self.epoch) % self.config.refresh_every == 0:
            self._refresh()

    @torch.no_grad()
    def _grow(self) -> None:
        """[ours] What the ramp makes of the weights in the next epoch."""
        if self.config.ramp == "linear":
            self.growth.copy_((self.epoch / self.plan.epochs).clamp(max=1))
        elif self.config.ramp == "fit":
            right = (self.bank.logits.argmax(1) == self.labels) & self.bank.seen
            begin, full = self.config.fit_from, self.config.fit_full
            self.growth.copy_(((right.float().mean() - begin) / (full - begin)).clamp(0, 1))
        self._set_soft(self.soft)

    @torch.no_grad()
    def _refresh(self) -> None:
        bank, cfg = self.bank, self.config
        medoids = class_medoids(
            bank.logits,
            self.labels,
            distance=cfg.distance,
            scope=cfg.scope,
            seen=bank.seen,
            memory=cfg.medoid_memory * 2**20,
        )
        kept = None if cfg.no_candidate == "hard" else ~medoids.exists
        self.medoids.take(medoids, kept)
        chosen = candidates(bank.logits, self.labels, cfg.scope) & bank.seen
        soft = prototype_targets(
            bank.logits, self.labels, chosen, medoids, cfg.prototype, cfg.medoid_temperature
        )
        if kept is not None:
            soft = torch.where(kept[:, None], self.soft, soft)
        self._set_soft(soft)

    @torch.no_grad()
    def report(self) -> dict[str, float]:
        """How far the medoids lie from the class means, and how soft the targets are."""
        bank, medoids = self.bank, Medoids(self.medoids.index, self.medoids.logits)
        chosen = candidates(bank.logits, self.labels, self.config.scope) & bank.seen
        return describe_medoids(medoids, bank.logits, self.labels, chosen, self.soft)

    def _set_soft(self, soft: Tensor) -> None:
        self.soft = soft
        self.table = class_targets(soft, self.config.medoid_weight * float(self.growth))
        self._set_past_weight()

    def _set_past_weight(self) -> None:
        """b as the ramp has it, and whether carrying changes anything: known to the host."""
        self.past_weight: float | Tensor = float(self.config.past_weight * self.growth)
        self.distils = self.past_weight > 0
        self._acts = self.distils or self.config.replay

    def medoid_record(self) -> dict[str, Tensor]:
        """The medoids and soft targets in use."""
        return {"index": self.medoids.index, "logits": self.medoids.logits, "soft": self.soft}

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._last = None
        self._set_past_weight()
