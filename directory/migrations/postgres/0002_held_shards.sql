-- 1: it takes no new customers yet. When it was registered, a shard that had rows when it was registered itself could not be
-- asked whose rows have come since.
ALTER TABLE shard ADD COLUMN held BIGINT NOT NULL DEFAULT 0 CHECK (held IN (0, 1));
