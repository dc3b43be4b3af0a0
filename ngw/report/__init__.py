"""Tables, figures and their statistics: from records and ranks to what a reader sees. Heavy libraries load late."""
