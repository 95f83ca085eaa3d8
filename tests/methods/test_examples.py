"""The examples in docs/examples, run as they stand, and the program in the README."""

import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.helpers import module_at

ROOT = Path(__file__).parents[2]


def example(name: str) -> ModuleType:
    return module_at(ROOT / "docs" / "examples" / f"{name}.py")


def test_plain_pytorch_learns_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    main = example("plain_pytorch").main
    torch.manual_seed(0)
    top1 = main(3, 1, tmp_path / "toast.pt", "cpu")
    assert top1 > 0.7
    saved = torch.load(tmp_path / "toast.pt", weights_only=True)
    assert saved["epoch"] == 3
    assert bool((saved["toast"]["medoids.index"] >= 0).all())
    before = saved["toast"]["epoch"].clone()
    main(4, 2, tmp_path / "toast.pt", "cpu")
    after = torch.load(tmp_path / "toast.pt", weights_only=True)
    assert int(after["toast"]["epoch"]) == int(before) + 1


# Lightning's own warnings: how many workers a loader has, and the like
@pytest.mark.filterwarnings("ignore")
def test_lightning_learns_and_its_checkpoint_holds_the_method(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    module = example("lightning_module")
    options = {
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": tmp_path,
    }
    torch.manual_seed(0)
    trainer, trained, top1 = module.main(3, **options)
    assert top1 > 0.7
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    state = torch.load(tmp_path / "last.ckpt", weights_only=False)["state_dict"]
    for name, tensor in trained.toast.state_dict().items():
        assert torch.equal(state[f"toast.{name}"], tensor), name
    assert int(trained.toast.epoch) == 3
    assert bool(trained.toast.medoids.exists.all())


def test_the_program_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = next(c for c in re.findall(r"```python\n(.*?)```", text, re.S) if "toast.join" in c)
    changed = re.findall(r"#\s*(\d)", code)
    assert changed == [str(i) for i in range(1, len(changed) + 1)]
    assert len(changed) <= 6
    exec(compile(code, "README.md", "exec"), {})
    said = [float(x) for x in re.findall(r"top-1 (\d+\.\d)", capsys.readouterr().out)]
    assert len(said) >= 3
    assert said[-1] > 70
    assert said[-1] > said[0]
