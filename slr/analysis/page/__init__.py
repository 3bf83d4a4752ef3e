"""The page of figures: its sections, which are kept next to the figures, and the page that is made from them."""
