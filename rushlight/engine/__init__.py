"""What runs the tape. The public side never imports from here except through `tape`."""
