DROP FUNCTION streams.retain, streams.sweep;
