"""The names of CIFAR-10's ten classes, in the order of the official labels 0 to 9."""

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
