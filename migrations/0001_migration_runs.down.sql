DROP TABLE migration_runs;
