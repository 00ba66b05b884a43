"""MNIST: 70,000 hand-written digits, 28×28.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of
the IEEE, 1998.
"""

from disentangle.data.download import Remote
from disentangle.data.idx import IdxSet

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"

# the MD5 are torchvision's, the sizes TensorFlow Datasets'
SET = IdxSet(
    name="mnist",
    title="MNIST",
    summary="hand-written digits, 28×28",
    factors={"digit": tuple(map(str, range(10)))},
    folders=("mnist", "MNIST/raw"),
    remotes=(
        Remote(f"{URL}train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
        Remote(f"{URL}train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432", 28_881),
        Remote(f"{URL}t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3", 1_648_877),
        Remote(f"{URL}t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c", 4_542),
    ),
)
DESCRIPTION = SET.describe()
