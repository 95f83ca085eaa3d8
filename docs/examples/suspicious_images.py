# pip install "toastlab[train]"
from toastlab import CrossEntropyConfig, DataConfig, RunStore, TrainConfig, analyse

data = DataConfig(name="folder", path="my_images", size=32)  # a folder of images for each class
config = TrainConfig(data=data, method=CrossEntropyConfig(), model="resnet-small", epochs=30)
run = RunStore("runs").get(config)
analyse(run).suspicious(100).to_csv("suspicious.csv", index=False)
