"""The site: the lab and the notebooks as pages that need neither kernel nor network."""
