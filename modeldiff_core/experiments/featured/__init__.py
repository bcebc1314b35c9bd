"""What experiments on data with known features share: their data, their networks, and intervals over seeds."""
