"""SAM, SAM 2 and EdgeTAM: what stands between a trunk and a mask."""
