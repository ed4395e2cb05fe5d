-- When the shard was last asked, in milliseconds since 1970, whether it answered or not.
ALTER TABLE shard ADD COLUMN asked_ms BIGINT;
