package database

// seal is SQL that has a table keep its rows as they were written: UPDATE and DELETE fail.
// Whoever owns the database can take the triggers away; what is not to change unseen
// stands in the log, too.

func (l *lite) seal(table string) (texts []string) {
	for _, change := range []string{"UPDATE", "DELETE"} {
		texts = append(texts, `CREATE TRIGGER `+table+`_kept_`+change+` BEFORE `+change+` ON `+table+
			` BEGIN SELECT RAISE(ABORT, '`+table+`: rows are kept as they are'); END`)
	}
	return texts
}

func (p post) seal(table string) []string {
	return []string{
		`CREATE OR REPLACE FUNCTION ciglio_kept() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN RAISE EXCEPTION ''%: rows are kept as they are'', TG_TABLE_NAME USING ERRCODE = ''restrict_violation''; END'`,
		`CREATE TRIGGER ` + table + `_kept BEFORE UPDATE OR DELETE ON ` + table + ` FOR EACH ROW EXECUTE FUNCTION ciglio_kept()`,
		`CREATE TRIGGER ` + table + `_kept_whole BEFORE TRUNCATE ON ` + table + ` FOR EACH STATEMENT EXECUTE FUNCTION ciglio_kept()`,
	}
}
