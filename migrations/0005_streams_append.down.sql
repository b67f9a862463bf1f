DROP FUNCTION streams.close, streams.append(text, bytea, boolean, boolean), streams.append(text, text, boolean, boolean);
DROP FUNCTION streams.append(text, json, boolean, boolean), streams.append(text, jsonb, boolean, boolean);
DROP FUNCTION streams.create, streams.append_one, streams.offset, streams.ring, streams.append_all;
