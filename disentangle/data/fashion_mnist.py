"""Fashion-MNIST: 70,000 real pictures of clothes, 28×28, in ten classes.

H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
2017, arXiv 1708.07747.
"""

from disentangle.data.download import Remote
from disentangle.data.idx import IdxSet

CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"

# the MD5 are the authors'
SET = IdxSet(
    name="fashion-mnist",
    title="Fashion-MNIST",
    summary="real pictures of clothes, 28×28",
    factors={"class": CLASSES},
    folders=("fashion-mnist", "FashionMNIST/raw"),
    remotes=(
        Remote(f"{URL}train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
        Remote(f"{URL}train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe", 29_515),
        Remote(f"{URL}t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79", 4_422_102),
        Remote(f"{URL}t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310", 5_148),
    ),
)
DESCRIPTION = SET.describe()
