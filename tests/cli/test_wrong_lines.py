"""Wrong command lines: each ends in one line that names what was wrong, and trains nothing."""

import shlex
from pathlib import Path

import pytest

from toastlab.cli import main as cli

TRAIN = "train toast --data.name digits --epochs 1"
HUGE = "99999999999999999999"  # no integer of 64 bits
# What is typed, and what the line that answers it must say.
LINES = [
    (f"{TRAIN} --learning-rate 1e308", "learning rate is 1e+308, but must lie in (0, 1000]"),
    (f"{TRAIN} --learning-rate 0", "learning rate is 0"),
    (f"{TRAIN} --learning-rate nan", "learning rate is nan"),
    (f"{TRAIN} --learning-rate=-0.1", "learning rate is -0.1"),
    (f"{TRAIN} --weight-decay 1e300", "weight decay is 1e+300, but must lie in [0, 1]"),
    (f"{TRAIN} --momentum 1", "momentum is 1"),
    (f"{TRAIN} --data.size 1000000", "size is 1000000, but must lie in [0, 4096]"),
    (f"{TRAIN} --data.size 4000", "4000 x 4000 pixels need 16 GiB"),
    (f"{TRAIN} --data.workers {HUGE}", f"workers is {HUGE}"),
    (f"{TRAIN} --data.per-class 100000", "per class is 100000"),
    (f"{TRAIN} --data.noise-rate 1.5", "noise rate is 1.5"),
    (f"{TRAIN} --data.val-share 0", "val share is 0"),
    (f"{TRAIN} --augment.crop 1000000", "crop is 1000000, but must lie in [0, 512]"),
    (f"{TRAIN} --augment.cutout 300", "cutout is 300 pixels, but the images have 8 x 8"),
    (f"{TRAIN} --augment.mix mixup --augment.mix-alpha 1e-300", "mix alpha is 1e-300"),
    (f"train toast --epochs {HUGE}", f"epochs is {HUGE}, but must lie in [1, 100000]"),
    (f"{TRAIN} --batch-size {HUGE[:-1]}8", f"batch size is {HUGE[:-1]}8"),
    (f"{TRAIN} --seed {HUGE}", f"seed is {HUGE}, but must lie in [0, 2147483648]"),
    (f"{TRAIN} --threads {HUGE}", f"threads is {HUGE}"),
    (f"{TRAIN} --evaluate-every {HUGE}", f"evaluate every is {HUGE}"),
    (f"{TRAIN} --warmup-epochs 5", "warmup epochs is 5"),
    (f"{TRAIN} --milestones 0.5 2", "milestones is 2"),
    (f"{TRAIN} --past-temperature 1e-45", "past temperature is 1e-45"),
    (f"{TRAIN} --medoid-temperature 1e300", "medoid temperature is 1e+300"),
    (f"{TRAIN} --past-weight 1e300", "past weight is 1e+300"),
    (f"{TRAIN} --max-visits {HUGE}", f"max visits is {HUGE}"),
    (f"{TRAIN} --refresh-every {HUGE}", f"refresh every is {HUGE}"),
    (f"{TRAIN} --medoid-memory {HUGE}", f"medoid memory is {HUGE}"),
    (f"{TRAIN} --device cuda:-1", "no device 'cuda:-1'"),
    (f"{TRAIN} --store file", "'file'"),
    (f"train bake --companions {HUGE}", f"companions is {HUGE}"),
    ("train byot --data.name digits --epochs 1 --exits nothing", "no module 'nothing'"),
    ("train byot --feature-weight 1e300", "feature weight is 1e+300"),
    ("train cs-kd --temperature 1e-300", "temperature is 1e-300"),
    ("train dlb --temperature 1e300", "temperature is 1e+300"),
    ("train tf-kd --multiplier 1e300", "multiplier is 1e+300"),
    ("train tf-kd-self --multiplier inf", "multiplier is inf"),
    ("compare --methods", "no method is given"),
    (f"compare --seeds {HUGE}", f"seeds is {HUGE}, but must lie in [1, 1000]"),
    ("compare --workers -1 --seeds 1 --epochs 1 --methods toast", "workers is -1"),
    ("demo --epochs 0", "epochs is 0"),
    ("sweep toast --axis", "Missing value for argument"),
    ("sweep toast --axis learning-rate 1e308,0.1", "learning rate is 1e+308"),
    ("sweep toast --axis learning-rate 0..0", "from 0 to 0"),
    (f"sweep toast --axis past-weight 0,1 --seeds {HUGE}", f"seeds is {HUGE}"),
    (f"sweep toast --axis past-weight 0..1 --search sobol --trials {HUGE}", f"trials is {HUGE}"),
    ("sweep toast --out x.txt", "'.txt'"),
    ("sweep nothing.toml", "'nothing.toml'"),
    ("analyse missing", "missing does not exist"),
    ("analyse file", "neither a folder nor a .npz or .npy file"),
    ("analyse . --out x.txt", "unknown ending of the output's name '.txt'"),
    ("analyse . --out file/x.csv", "'file/x.csv'"),
    ("analyse . --count -1", "count is -1"),
    ("analyse . --by aums", "Did you mean 'aum'"),
    ("analyse . --names missing.txt", "'missing.txt'"),
    ("dashboard --gone-after inf", "gone after is inf"),
    ("dashboard --port -1", "port is -1, but must lie in [1, 65535]"),
    ("dashboard --port 99999", "port is 99999"),
    (f"dashboard --visitors {HUGE}", f"visitors is {HUGE}"),
    ("lab --folder . --port 99999", "port is 99999"),
    ("lab --folder file", "'file'"),
    ("data check idx --path /dev", "there is no train-images-idx3-ubyte"),
    ("data check idx --path file", "no folder 'file'"),
    ("data fetch nothing", "'nothing'"),
    ("runs list --store file", "the run store 'file' is a file"),
    ("runs list --store missing", "the run store 'missing' does not exist"),
    ("runs list --store ''", "the run store has no name"),
    ("runs rm --store missing abc", "the run store 'missing' does not exist"),
    ("runs rm abc", "0 runs in runs begin with 'abc'"),
    ("runs rm", "no run is named"),
    ("runs gc --store missing", "the run store 'missing' does not exist"),
    ("runs gc --store file", "the run store 'file' is a file"),
    ("doctor --store ' '", "the run store has no name"),
    ("study run layouts --yes --store missing", "the run store 'missing' does not exist"),
    ("study run layouts --yes --store file", "the run store 'file' is a file"),
    (f"{TRAIN} --store ''", "the run store has no name"),
    ("compare --store '' --seeds 1", "the run store has no name"),
    ("study run peers --yes --store ''", "the run store has no name"),
    ("runs show abc --store missing", "the run store 'missing' does not exist"),
    ("runs show abc", "0 runs in runs begin with 'abc'"),
    ("runs show ''", "0 runs in runs begin with ''"),
    ("runs show ../x", "0 runs in runs begin with '../x'"),
    ("doctor --store file", "the run store 'file' is a file"),
    ("doctor --store missing", "the run store 'missing' does not exist"),
    ("bench --sections", "no section is given"),
    ("bench --methods nothing", "unknown method 'nothing'"),
    (f"bench --sections data --rounds {HUGE}", f"rounds is {HUGE}"),
    ("bench --json missing/x.json", "'missing/x.json'"),
    ("study run recipe ps-kd-300 --methods", "no method is given"),
    ("study run recipe ps-kd-300 --budgets", "no budget is given"),
    ("study run recipe ps-kd-300 --models", "no model is given"),
    ("study run recipe ps-kd-300 --size 1000000", "size is 1000000"),
    ("study page recipe --out file/page.md", "'file/page.md'"),
    ("study run peers --parts", "no part is given"),
    ("study run peers --seeds -3", "seeds is -3"),
    ("study run peers --more-seeds 0", "more seeds is 0"),
    ("study run ablation --out file/x.csv", "'file/x.csv'"),
    ("study page peers --out .", "'.'"),
]


@pytest.mark.parametrize(("line", "said"), LINES, ids=[line for line, _ in LINES])
def test_one_line_names_the_value(
    line: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(line))
    err = capsys.readouterr().err
    assert stop.value.code in (1, 2)
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("toastlab: ")
    assert last.endswith(".")
    assert said in last, last
    assert not list(tmp_path.rglob("config.json")), "nothing was trained"
    assert not Path("missing").exists()


def test_the_usual_store_may_be_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before the first run: nothing is wrong, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    cli.main(["runs", "list"])
    cli.main(["doctor", "--device", "cpu"])
    assert "No finished runs" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
