"""Records to Markdown, JSON and figures. No torch, no measuring, no arithmetic beyond layout."""
