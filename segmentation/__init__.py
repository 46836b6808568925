"""Who customers are: RFM and NESL models, their history, and the files form."""
