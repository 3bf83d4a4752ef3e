"""How stable is the search's choice? Other prompts, other rules, min-p, and pairs trained from other seeds."""
