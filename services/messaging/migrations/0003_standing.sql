-- Meta lets the account answer users, but begin nothing.
ALTER TABLE messaging.connection ADD COLUMN restricted_outside boolean NOT NULL DEFAULT false;
