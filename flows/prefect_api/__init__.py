"""What deals with Prefect's API: finding or starting its server, what runs record there, and what they ask of it."""
