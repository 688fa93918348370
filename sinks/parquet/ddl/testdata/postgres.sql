CREATE TABLE IF NOT EXISTS "Patient" (
  "resourceType" text NOT NULL,
  "id" text,
  "contained" jsonb,
  "active" boolean,
  "birthDate" text,
  "__birthDate_start" timestamptz,
  "__birthDate_end" timestamptz,
  "_birthDate" jsonb,
  "multipleBirthInteger" integer,
  "contact" jsonb,
  "generalPractitioner" jsonb,
  "__unmapped" text,
  "__run" text
);
COMMENT ON COLUMN "Patient"."resourceType" IS 'Name of the resource type, the same in every row.';
COMMENT ON COLUMN "Patient"."id" IS 'Logical id of this artifact.';
COMMENT ON COLUMN "Patient"."contained" IS 'Contained, inline Resources. JSON text of the resource, as sent.';
COMMENT ON COLUMN "Patient"."active" IS 'Whether this patient''s record is in active use.';
COMMENT ON COLUMN "Patient"."birthDate" IS 'The date of birth for the individual. The text, as sent.';
COMMENT ON COLUMN "Patient"."__birthDate_start" IS 'First microsecond covered by the text, in UTC; null when the text is not valid.';
COMMENT ON COLUMN "Patient"."__birthDate_end" IS 'Last microsecond covered by the text, in UTC; null when the text is not valid.';
COMMENT ON COLUMN "Patient"."_birthDate" IS 'Id and extensions of birthDate.';
COMMENT ON COLUMN "Patient"."multipleBirthInteger" IS 'Whether patient is part of a multiple birth.';
COMMENT ON COLUMN "Patient"."contact" IS 'A contact party (e.g. guardian, partner, friend) for the patient.';
COMMENT ON COLUMN "Patient"."generalPractitioner" IS 'Patient''s nominated primary care provider.';
COMMENT ON COLUMN "Patient"."__unmapped" IS 'JSON object with what no column can reproduce: JSON Pointer to raw JSON text.';
COMMENT ON COLUMN "Patient"."__run" IS 'The run that delivered the row.';
-- psql, with the command duckdb at hand:
\copy "Patient" FROM PROGRAM 'duckdb -c "COPY (SELECT \"resourceType\", \"id\", to_json(\"contained\"), \"active\", \"birthDate\", \"__birthDate_start\", \"__birthDate_end\", to_json(\"_birthDate\"), \"multipleBirthInteger\", to_json(\"contact\"), to_json(\"generalPractitioner\"), \"__unmapped\", \"__run\" FROM read_parquet(''/data/it''''s \$HOME/parquet/Patient/*.parquet'')) TO ''/dev/stdout'' (FORMAT csv, HEADER false)"' WITH (FORMAT csv)
