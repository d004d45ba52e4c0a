"""Image trunks: from an image to features; the SAM networks and Focus are built on them."""
