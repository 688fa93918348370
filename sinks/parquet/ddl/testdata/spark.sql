CREATE TABLE IF NOT EXISTS `Patient` (
  `resourceType` STRING COMMENT 'Name of the resource type, the same in every row.',
  `id` STRING COMMENT 'Logical id of this artifact.',
  `contained` ARRAY<STRING> COMMENT 'Contained, inline Resources. JSON text of the resource, as sent.',
  `active` BOOLEAN COMMENT 'Whether this patient\'s record is in active use.',
  `birthDate` STRING COMMENT 'The date of birth for the individual. The text, as sent.',
  `__birthDate_start` TIMESTAMP COMMENT 'First microsecond covered by the text, in UTC; null when the text is not valid.',
  `__birthDate_end` TIMESTAMP COMMENT 'Last microsecond covered by the text, in UTC; null when the text is not valid.',
  `_birthDate` STRUCT<`extension`: ARRAY<STRUCT<`url`: STRING, `valueDecimal`: STRING, `__valueDecimal_numeric`: DECIMAL(32,6)>>> COMMENT 'Id and extensions of birthDate.',
  `multipleBirthInteger` INT COMMENT 'Whether patient is part of a multiple birth.',
  `contact` ARRAY<STRUCT<`name`: STRUCT<`given`: ARRAY<STRING>>>> COMMENT 'A contact party (e.g. guardian, partner, friend) for the patient.',
  `generalPractitioner` ARRAY<STRUCT<`reference`: STRING, `__reference_type`: STRING, `__reference_id`: STRING>> COMMENT 'Patient\'s nominated primary care provider.',
  `__unmapped` STRING COMMENT 'JSON object with what no column can reproduce: JSON Pointer to raw JSON text.',
  `__run` STRING COMMENT 'The run that delivered the row.'
)
USING parquet
LOCATION '/data/it\'s $HOME/parquet/Patient/';
