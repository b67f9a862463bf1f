// `SERVER` is the base URL of what is tested.
import { runConformanceTests } from '@durable-streams/server-conformance-tests'

runConformanceTests({ baseUrl: process.env.SERVER })
