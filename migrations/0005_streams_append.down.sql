DROP FUNCTION streams.close, streams.append(text, bytea, boolean, boolean), streams.append(text, text, boolean, boolean);
DROP FUNCTION streams.append(text, json, boolean, boolean), streams.append(text, jsonb, boolean, boolean);
DROP FUNCTION streams.append_record, streams.is_json, streams.check_path, streams.check_content_type;
DROP FUNCTION streams.create, streams.fragment, streams.refuse, streams.offset, streams.ring, streams.append_all;
