-- aws s3 sync /data/it's $HOME/parquet/Patient/ s3://BUCKET/PREFIX/Patient/ --delete
CREATE EXTERNAL TABLE IF NOT EXISTS `patient` (
  `resourcetype` string COMMENT 'Name of the resource type, the same in every row.',
  `id` string COMMENT 'Logical id of this artifact.',
  `contained` array<string> COMMENT 'Contained, inline Resources. JSON text of the resource, as sent.',
  `active` boolean COMMENT 'Whether this patient\'s record is in active use.',
  `birthdate` string COMMENT 'The date of birth for the individual. The text, as sent.',
  `__birthdate_start` timestamp COMMENT 'First microsecond covered by the text, in UTC; null when the text is not valid.',
  `__birthdate_end` timestamp COMMENT 'Last microsecond covered by the text, in UTC; null when the text is not valid.',
  `_birthdate` struct<`extension`:array<struct<`url`:string,`valuedecimal`:string,`__valuedecimal_numeric`:decimal(32,6)>>> COMMENT 'Id and extensions of birthDate.',
  `multiplebirthinteger` int COMMENT 'Whether patient is part of a multiple birth.',
  `contact` array<struct<`name`:struct<`given`:array<string>>>> COMMENT 'A contact party (e.g. guardian, partner, friend) for the patient.',
  `generalpractitioner` array<struct<`reference`:string,`__reference_type`:string,`__reference_id`:string>> COMMENT 'Patient\'s nominated primary care provider.',
  `__unmapped` string COMMENT 'JSON object with what no column can reproduce: JSON Pointer to raw JSON text.',
  `__run` string COMMENT 'The run that delivered the row.'
)
STORED AS PARQUET
LOCATION 's3://BUCKET/PREFIX/Patient/';
