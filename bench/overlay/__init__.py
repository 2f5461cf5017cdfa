"""What the overlay costs: an ADD beside bridge's, TCP beside a hand-made device, its size."""
