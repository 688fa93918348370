-- gcloud storage cp '/data/it's $HOME/parquet/Patient/*.parquet' gs://BUCKET/PREFIX/Patient/
CREATE TABLE IF NOT EXISTS `DATASET.Patient` (
  `resourceType` STRING NOT NULL OPTIONS (description = 'Name of the resource type, the same in every row.'),
  `id` STRING OPTIONS (description = 'Logical id of this artifact.'),
  `contained` ARRAY<STRING> OPTIONS (description = 'Contained, inline Resources. JSON text of the resource, as sent.'),
  `active` BOOL OPTIONS (description = 'Whether this patient\'s record is in active use.'),
  `birthDate` STRING OPTIONS (description = 'The date of birth for the individual. The text, as sent.'),
  `__birthDate_start` TIMESTAMP OPTIONS (description = 'First microsecond covered by the text, in UTC; null when the text is not valid.'),
  `__birthDate_end` TIMESTAMP OPTIONS (description = 'Last microsecond covered by the text, in UTC; null when the text is not valid.'),
  `_birthDate` STRUCT<`extension` ARRAY<STRUCT<`url` STRING, `valueDecimal` STRING, `__valueDecimal_numeric` NUMERIC(32, 6)>>> OPTIONS (description = 'Id and extensions of birthDate.'),
  `multipleBirthInteger` INT64 OPTIONS (description = 'Whether patient is part of a multiple birth.'),
  `contact` ARRAY<STRUCT<`name` STRUCT<`given` ARRAY<STRING>>>> OPTIONS (description = 'A contact party (e.g. guardian, partner, friend) for the patient.'),
  `generalPractitioner` ARRAY<STRUCT<`reference` STRING, `__reference_type` STRING, `__reference_id` STRING>> OPTIONS (description = 'Patient\'s nominated primary care provider.'),
  `__unmapped` STRING OPTIONS (description = 'JSON object with what no column can reproduce: JSON Pointer to raw JSON text.'),
  `__run` STRING OPTIONS (description = 'The run that delivered the row.')
);
LOAD DATA OVERWRITE `DATASET.Patient`
FROM FILES (format = 'PARQUET', enable_list_inference = true, uris = ['gs://BUCKET/PREFIX/Patient/*.parquet']);
