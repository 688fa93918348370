-- PUT 'file:///data/it''s $HOME/parquet/Patient/*.parquet' @STAGE/PREFIX/Patient/ AUTO_COMPRESS = FALSE;
CREATE TABLE IF NOT EXISTS "Patient" (
  "resourceType" VARCHAR NOT NULL COMMENT 'Name of the resource type, the same in every row.',
  "id" VARCHAR COMMENT 'Logical id of this artifact.',
  "contained" ARRAY COMMENT 'Contained, inline Resources. JSON text of the resource, as sent.',
  "active" BOOLEAN COMMENT 'Whether this patient\'s record is in active use.',
  "birthDate" VARCHAR COMMENT 'The date of birth for the individual. The text, as sent.',
  "__birthDate_start" TIMESTAMP_LTZ(6) COMMENT 'First microsecond covered by the text, in UTC; null when the text is not valid.',
  "__birthDate_end" TIMESTAMP_LTZ(6) COMMENT 'Last microsecond covered by the text, in UTC; null when the text is not valid.',
  "_birthDate" OBJECT COMMENT 'Id and extensions of birthDate.',
  "multipleBirthInteger" INTEGER COMMENT 'Whether patient is part of a multiple birth.',
  "contact" ARRAY COMMENT 'A contact party (e.g. guardian, partner, friend) for the patient.',
  "generalPractitioner" ARRAY COMMENT 'Patient\'s nominated primary care provider.',
  "__unmapped" VARCHAR COMMENT 'JSON object with what no column can reproduce: JSON Pointer to raw JSON text.',
  "__run" VARCHAR COMMENT 'The run that delivered the row.'
);
COPY INTO "Patient" FROM @STAGE/PREFIX/Patient/
PATTERN = '.*[.]parquet'
FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)
MATCH_BY_COLUMN_NAME = CASE_SENSITIVE;
