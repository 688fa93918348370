package fhirhttp

// plainList are lower-case words that explain faults of requests, in order.
const plainList = " a abort aborted accept accepted access active after again all allowed already also an and another any are as " +
	"async asynchronous at attempt authorization authorized available bad base batch be because been before being " +
	"body both bulk busy but by call cancel cancelled cannot capability chain chaining check client code comma " +
	"compartment complete completed concurrent configuration conflict connection contain contained contains content " +
	"could count cursor data database date datetime default deleted did different disabled does doesn't don't done " +
	"duplicate each element elements empty enabled encountered end endpoint error errors exceed exceeded exceeds " +
	"exception exist exists expected expired expires export exports extension failed failure fatal field file files " +
	"filter filters finished following for forbidden format found from gateway given group group-level handling has " +
	"have header headers id identifier if ignored ignoring in include incomplete incorrect information instant " +
	"interaction internal into invalid is isn't issue it its job jobs json kickoff large lastupdated later least " +
	"lenient less level limit limited list long longer longest lookup malformed manifest many maximum may media " +
	"memory message method minimum missing mode modifier more most multiple must name names ndjson need needed no " +
	"none not not-supported null number object of on once one only operation option or order other out outcome " +
	"output overloaded page param parameter parameters parse patient-level pending permission permitted please " +
	"prefer prefix present problem process processed processing progress prohibited property protected provide " +
	"provided query queue quota rate reached read reason received reference references rejected request requested " +
	"requests require required requires resource resources respond respond-async response result results retrieve " +
	"retry return returned returns running same scope scopes search security see server service session should " +
	"since size smaller some sort space specified start started status still stopped storage strict string " +
	"structure such supplied support supported supports system system-level take temporarily terminated than that " +
	"the then there this throttled time timed timeout timestamp to token too transaction transient try type types " +
	"unable unauthorized unavailable understood unexpected unknown unrecognized unsupported until update url use " +
	"used user uses using valid validation value values version wait was were when which while will with within " +
	"without wrong you your "

// properList are names that stand as FHIR writes them, in order.
const properList = " $export Accept Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse " +
	"AuditEvent Basic Binary BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam " +
	"CatalogEntry ChargeItem ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem Communication " +
	"CommunicationRequest CompartmentDefinition Composition ConceptMap Condition Consent Content-Location " +
	"Content-Type Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device " +
	"DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest " +
	"DocumentReference EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest EnrollmentResponse " +
	"EpisodeOfCare EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit FHIR " +
	"FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HTTP HealthcareService ImagingStudy " +
	"Immunization ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice JSON " +
	"Library Linkage List Location Measure MeasureReport Media Medication MedicationAdministration " +
	"MedicationDispense MedicationKnowledge MedicationRequest MedicationStatement MedicinalProduct " +
	"MessageDefinition MessageHeader MolecularSequence NamingSystem NutritionOrder OAuth Observation " +
	"ObservationDefinition OperationDefinition OperationOutcome Organization OrganizationAffiliation Parameters " +
	"Patient PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole Prefer " +
	"Procedure Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup ResearchDefinition " +
	"ResearchElementDefinition ResearchStudy ResearchSubject Retry-After RiskAssessment RiskEvidenceSynthesis " +
	"Schedule SearchParameter ServiceRequest Slot Specimen SpecimenDefinition StructureDefinition StructureMap " +
	"Subscription Substance SupplyDelivery SupplyRequest Task TerminologyCapabilities TestReport TestScript URL " +
	"ValueSet VerificationResult VisionPrescription _count _elements _format _has _id _include _lastUpdated " +
	"_outputFormat _profile _revinclude _security _since _sort _summary _tag _total _type _typeFilter _until " +
	"allowPartialManifests includeAssociatedData organizeOutputBy patient subject "
