/**
 * What a run closes with: every skipped test with its reason, and one plain line of counts. A skip without a reason
 * counts as a failure: a missing facility is to be named, never passed over. The counts also go to the file named by
 * XENNER_TEST_SUMMARY.
 */
import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** The reason is skip()'s note, or stands in a title as "skipped: ...". */
function reasonOf(test: TestCase): string | undefined {
  const result = test.result();
  const note = result.state === 'skipped' ? result.note : undefined;
  return note ?? /skipped: ([^)>]+)/.exec(test.fullName)?.[1];
}

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const counts = { passed: 0, failed: errors.length, skipped: 0 };
    const reasons = new Map<string, string[]>();
    for (const module of modules) {
      if (module.state() === 'failed' && module.errors().length > 0) counts.failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'pending') continue;
        counts[state]++;
        if (state !== 'skipped') continue;
        const reason = reasonOf(test) ?? '';
        reasons.set(reason, [
          ...(reasons.get(reason) ?? []),
          `${module.relativeModuleId} > ${test.fullName}`,
        ]);
      }
    }
    this.#printSkips(reasons, counts);
    const line = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
    console.log(line);
    if (process.env.XENNER_TEST_SUMMARY) writeFileSync(process.env.XENNER_TEST_SUMMARY, `${line}\n`);
  }

  #printSkips(reasons: Map<string, string[]>, counts: { failed: number; skipped: number }): void {
    for (const [reason, tests] of reasons) {
      console.log(`skipped: ${reason || 'NO REASON GIVEN'}`);
      for (const test of tests) console.log(`    ${test}`);
      if (reason) continue;
      counts.failed += tests.length;
      counts.skipped -= tests.length;
      process.exitCode = 1;
    }
  }
}
