"""``python -m disentangle``, for launchers such as ``torchrun`` and ``accelerate launch``."""

from disentangle.apps.cli import main

if __name__ == "__main__":
    main()
