"""`pointcloud/pointnet2`: PointNet++ with balls of one size (SSG) or of several (MSG), as ULIP uses it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from anyclip_pointcloud.point_tower import PointTower
from anyclip_pointcloud.pointnet2_abstraction import MultiScaleAbstraction, SetAbstraction
from anyclip_pointcloud.tower_options_points import Pointnet2Options


class Pointnet2Tower(PointTower):
    """`pooled` comes after the second of the two layers behind the global maximum, with its norm and ReLU: >= 0.

    Parameters: `model.<name in ULIP's point_encoder>`. Sampling starts at point 0; the published code draws the start
    anew in each call, evaluation included, which here the processor's random choice of points does in training.
    """

    def __init__(self, options: Pointnet2Options):
        model = PointNet2(options, self.extra_channels(options))
        super().__init__(model, options, width=model.width, blocks=["sa1", "sa2", "sa3"], tail=("fc", "bn"))

    def encode(self, points: Tensor, extra: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self.model(points, extra), None


class PointNet2(nn.Module):
    """points [B, N, 3], extra [B, N, F] -> [B, width]; a quarter of the global feature."""

    def __init__(self, options: Pointnet2Options, channels: int):
        super().__init__()
        scale, (first, second), r = options.width / 1024, options.centres, options.radius
        w = [max(4, round(n * scale)) for n in (32, 64, 96, 128, 256, 512, 1024)]
        w32, w64, w96, w128, w256, w512, w1024 = w
        last_drop = 0.4
        if options.variant == "ssg":
            self.sa1: nn.Module = SetAbstraction(first, r, 32, channels, (w64, w64, w128))
            self.sa2: nn.Module = SetAbstraction(second, 2 * r, 64, w128, (w128, w128, w256))
            features = w256
        else:
            widths = ((w32, w32, w64), (w64, w64, w128), (w64, w96, w128))
            self.sa1 = MultiScaleAbstraction(first, (r / 2, r, 2 * r), (16, 32, 128), channels, widths)
            widths = ((w64, w64, w128), (w128, w128, w256), (w128, w128, w256))
            self.sa2 = MultiScaleAbstraction(second, (r, 2 * r, 4 * r), (32, 64, 128), w64 + 2 * w128, widths)
            features, last_drop = w128 + 2 * w256, 0.5
        self.sa3 = SetAbstraction(None, 0.0, 0, features, (w256, w512, w1024))
        self.width = w256
        self.fc1, self.bn1, self.drop1 = nn.Linear(w1024, w512), nn.BatchNorm1d(w512), nn.Dropout(0.4)
        self.fc2, self.bn2, self.drop2 = nn.Linear(w512, w256), nn.BatchNorm1d(w256), nn.Dropout(last_drop)

    def forward(self, points: Tensor, extra: Tensor | None) -> Tensor:
        points, features = self.sa1(points, extra)
        points, features = self.sa2(points, features)
        _, features = self.sa3(points, features)
        x = self.drop1(F.relu(self.bn1(self.fc1(features[:, 0]))))
        return self.drop2(F.relu(self.bn2(self.fc2(x))))
