BEGIN TRANSACTION;
CREATE TABLE luma_durations (
	server TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	learned TEXT NOT NULL, 
	PRIMARY KEY (server, kind)
);
CREATE TABLE luma_jobs (
	"key" TEXT NOT NULL, 
	state TEXT NOT NULL, 
	claim TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	server TEXT NOT NULL, 
	source_id TEXT, 
	request TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	task_id TEXT, 
	generation TEXT, 
	reason TEXT, 
	earlier_ids TEXT, 
	submitted_at DOUBLE NOT NULL, 
	updated_at DOUBLE NOT NULL, 
	request_id TEXT, 
	PRIMARY KEY ("key")
);
INSERT INTO "luma_jobs" VALUES('completed','completed','e970ae76bdfa4af3a19e49a9662d3916','6eb4283c7c184d508c20333404946ace','http://server.example',NULL,'{"prompt":"a cat that is completed","aspect_ratio":"16:9"}','06495b92857ab965aef8516911f66c683baba1e1ecc9e2341d5f593002d96993','1027c4d1-c386-4bc4-8d61-3e30d8f16adf','{"id":"1027c4d1-c386-4bc4-8d61-3e30d8f16adf","state":"completed","prompt":"a cat that is completed","video":{"url":"http://server.example/media/1027c4d1-c386-4bc4-8d61-3e30d8f16adf/video.mp4?X-Amz-Expires=3600&until=3600.327","width":1280,"height":720,"download_url":"http://server.example/media/1027c4d1-c386-4bc4-8d61-3e30d8f16adf/clean.mp4?X-Amz-Expires=3600&until=3600.327"},"video_raw":{"url":"http://server.example/media/1027c4d1-c386-4bc4-8d61-3e30d8f16adf/clean.mp4?X-Amz-Expires=3600&until=3600.327","width":1280,"height":720,"duration":5.041666666666667,"media_type":"video"},"thumbnail":{"url":"http://server.example/media/1027c4d1-c386-4bc4-8d61-3e30d8f16adf/thumbnail.jpg?X-Amz-Expires=3600&until=3600.327","width":1280,"height":720,"media_type":"image"},"last_frame":{"url":"http://server.example/media/1027c4d1-c386-4bc4-8d61-3e30d8f16adf/last.jpg?X-Amz-Expires=3600&until=3600.327","width":1280,"height":720,"media_type":"image"},"created_at":"2026-11-26T11:29:56.997646Z","raw":{"id":"1027c4d1-c386-4bc4-8d61-3e30d8f16adf","state":"completed","failure_reason":null,"request":{"prompt":"a cat that is completed","aspect_ratio":"16:9"},"created_at":"2026-11-26T11:29:56.997646Z","estimate_wait_seconds":null,"video":{"url":"http://server.example/media/1027c4d1-c386-4bc4-8d61-3e30d8f16adf/video.mp4?X-Amz-Expires=3600&until=3600.327","width":1280,"height":720,"download_url":"http://server.example/media/1027c4d1-c386-4bc4-8d61-3e30d8f16adf/clean.mp4?X-Amz-Expires=3600&until=3600.327"},"video_raw":{"url":"http://server.example/media/1027c4d1-c386-4bc4-8d61-3e30d8f16adf/clean.mp4?X-Amz-Expires=3600&until=3600.327","width":1280,"height":720,"duration":5.041666666666667,"media_type":"video"},"thumbnail":{"url":"http://server.example/media/1027c4d1-c386-4bc4-8d61-3e30d8f16adf/thumbnail.jpg?X-Amz-Expires=3600&until=3600.327","width":1280,"height":720,"media_type":"image"},"last_frame":{"url":"http://server.example/media/1027c4d1-c386-4bc4-8d61-3e30d8f16adf/last.jpg?X-Amz-Expires=3600&until=3600.327","width":1280,"height":720,"media_type":"image"}}}',NULL,NULL,1.7956925969924860001e+09,1.7956925970890409947e+09,'81b26a56-137b-4240-b197-e8c4461cd444');
INSERT INTO "luma_jobs" VALUES('uncertain','uncertain','dbbdd0e424474f3ba3209fe32fc4d375','6eb4283c7c184d508c20333404946ace','http://server.example',NULL,'{"prompt":"a cat that is uncertain"}','fde7b7ed0fba60444f4d2b550f8cd15b6844d149f5e665f33e95d441f8e3ab99',NULL,NULL,'POST /luma/generations: no answer from server.example: Server disconnected.',NULL,1.79569259703495407104e+09,1.79569259707160401346e+09,'ba212357-05d7-47d5-9b6f-35807ae1e2e0');
INSERT INTO "luma_jobs" VALUES('failed','failed','c38a19a0edbe4343a47c9cf4d566a33f','6eb4283c7c184d508c20333404946ace','http://server.example',NULL,'{"prompt":"a cat that is failed"}','5ed410489cea9ffce48318f2f2fd3c8b7fe0dced5b5e83582c52e4ab580edf7a','177219d3-0e7a-469f-995b-afc8f2a4d27b','{"id":"177219d3-0e7a-469f-995b-afc8f2a4d27b","state":"failed","prompt":"a cat that is failed","created_at":"2026-11-26T11:29:57.093777Z","failure_reason":"the prompt could not be rendered","raw":{"id":"177219d3-0e7a-469f-995b-afc8f2a4d27b","state":"failed","failure_reason":"the prompt could not be rendered","request":{"prompt":"a cat that is failed","aspect_ratio":"16:9"},"created_at":"2026-11-26T11:29:57.093777Z","estimate_wait_seconds":null,"video":null}}',NULL,NULL,1.79569259707810401915e+09,1.79569259714120292668e+09,'1644af67-eef0-4b8d-a711-e120ffee8fe0');
INSERT INTO "luma_jobs" VALUES('running','running','0995d442751348e1ae4247f419840283','711b3099767a4808a4675800e9c23d2e','http://server.example',NULL,'{"prompt":"a cat that is running"}','fb4e0aa2c14abdb245d79b8051df71ed0dbf6a659765b461950ebfa135456feb','id-of-the-running-job',NULL,NULL,NULL,1.79569259745980906489e+09,1795692597.47521,'8439149d-7b72-4aaf-bbff-5b3911eba850');
INSERT INTO "luma_jobs" VALUES('lost','lost','257fadbb09814224af48e560ba28a237','711b3099767a4808a4675800e9c23d2e','http://server.example',NULL,'{"prompt":"a cat that is lost"}','f22b7bdbbd07fc130a355aa6ec716d2c4f8ed68875f46ccef59e8b781ea5b9a2','9b08923d-10c6-4fd9-94b2-b8fda02f34a6',NULL,'the server does not know the job',NULL,1.79569259747875690459e+09,1.79569259752589297299e+09,'4125d008-bdca-4082-a73c-f3e3ff1680d1');
INSERT INTO "luma_jobs" VALUES('submitting','submitting','c3dd38bea572453584324d746915ad44','7fdedf8c0e014026bd6c9d888c8775c5','http://server.example',NULL,'{"prompt":"a cat that is being submitted"}','5192c5c95398b3f8f82b2a15712aed923b2b5edda287981a002b283da4e0e0b0',NULL,NULL,NULL,NULL,1.79569259824166488652e+09,1.79569259824166488652e+09,'b2e83e28-53e4-4422-a1f1-2e821b42bd3f');
CREATE TABLE luma_owners (
	owner TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	heartbeat DOUBLE NOT NULL, 
	start TEXT, 
	PRIMARY KEY (owner)
);
INSERT INTO "luma_owners" VALUES('7fdedf8c0e014026bd6c9d888c8775c5','another-machine',30723,1.79569259824199962613e+09,'1274311');
CREATE TABLE luma_schema (
	version INTEGER NOT NULL
);
INSERT INTO "luma_schema" VALUES(3);
CREATE INDEX luma_jobs_open ON luma_jobs (state) WHERE state IN ('submitting', 'uncertain', 'running');
CREATE INDEX luma_jobs_task_id ON luma_jobs (task_id);
COMMIT;
