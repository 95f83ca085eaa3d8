"""Makes data/fashion-mini again, bit for bit, from the four files of Fashion-MNIST.

    python data/make_fashion_mini.py --source FOLDER [--out data/fashion-mini]

FOLDER holds train-images-idx3-ubyte.gz and its three companions, as Zalando publishes them, as
torchvision downloads them (FashionMNIST/raw) and as Debian's package dataset-fashion-mnist installs
them (`dpkg -L dataset-fashion-mnist` says where). Per class: 600 training and 200 validation images
of the original training set, 200 test images of the original test set, drawn by NumPy's legacy
generator, whose stream is frozen. The .gz bytes are those of zlib; another deflate library may pack
the same contents differently, which the script would say.
"""

import argparse
import gzip
import hashlib
import json
from pathlib import Path

import numpy as np

from toastlab.data.idx import read_idx, write_idx

PER_CLASS = {"train": 600, "val": 200, "test": 200}
# SHA-256 of the unpacked contents (packers differ), of {name}-ubyte.gz
SOURCE_SHA256 = {
    "train-images-idx3": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def main() -> None:
    """Reads, draws, writes, and prints the checksums."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, required=True, help="folder of the four .gz files")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fashion-mini")
    args = parser.parse_args()
    for name, expected in SOURCE_SHA256.items():
        file = args.source / f"{name}-ubyte.gz"
        if not file.is_file() or sha256(gzip.decompress(file.read_bytes())) != expected:
            parser.error(f"{file} is missing or is not the file that Fashion-MNIST publishes")
    args.out.mkdir(parents=True, exist_ok=True)
    sums = {}
    for part, (images, labels) in draw(args.source).items():
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            file = args.out / f"{part}-{kind}-ubyte.gz"
            write_idx(file, array)
            sums[file.name] = sha256(file.read_bytes())
            print(f"{sums[file.name]}  {file.name}")
    (args.out / "sha256.json").write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


def sha256(content: bytes) -> str:
    """The checksum in hex digits."""
    return hashlib.sha256(content).hexdigest()


def draw(source: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images [n, 28, 28] and labels [n] of each part, in random order."""
    random = np.random.RandomState(20240624)
    parts = {}
    for prefix, names in (("train", ("train", "val")), ("t10k", ("test",))):
        images = read_idx(source / f"{prefix}-images-idx3-ubyte.gz", 3)
        labels = read_idx(source / f"{prefix}-labels-idx1-ubyte.gz", 1)
        order = random.permutation(len(labels))
        by_class = [order[labels[order] == c] for c in range(10)]
        start = 0
        for name in names:
            stop = start + PER_CLASS[name]
            rows = random.permutation(np.concatenate([rows[start:stop] for rows in by_class]))
            parts[name] = (images[rows], labels[rows])
            start = stop
    return parts


if __name__ == "__main__":
    main()
