-- What an application decides for all of its connections. Numbers of outeract.connection.v1.AutoMarkRead.
ALTER TABLE connection.application ADD COLUMN auto_mark_read smallint NOT NULL DEFAULT 1 CHECK (auto_mark_read IN (1, 2));
