// Storage pools of real devices, each described by xenner and by virsh while both have it running: node storage.mjs, by storage.sh.
// Prints JSON: by scenario { ours, theirs }, each { pool, volumes: { NAME: document } }, and what else a scenario has to tell.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StoragePools } from 'xenner/mgmt';

const MIB = 2 ** 20;
const place = mkdtempSync(join(tmpdir(), 'xenner-pools-'));
const pools = new StoragePools({
  configDirectory: join(place, 'etc'),
  runDirectory: join(place, 'run'),
  report: (line) => console.error(line),
});

/** Several commands at once: each virsh takes a second. @param {string[]} commands */
function virsh(...commands) {
  const uri = `storage:///system?socket=${process.env.LIBVIRT_SOCKET}`;
  return execFileSync('virsh', ['-q', '-c', uri, commands.join('; ')], { encoding: 'utf8' });
}

/** @param {string} program @param {string[]} args */
const host = (program, ...args) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** @param {import('xenner/mgmt').StoragePool} pool */
async function ours(pool) {
  const volumes = await pool.listVolumes();
  return { pool: await pool.xml(), volumes: Object.fromEntries(volumes.map(({ name, xml }) => [name, xml])) };
}

/** What is refused: its code. @param {() => Promise<unknown>} act */
const codeOf = (act) =>
  act().then(
    () => 'done',
    (error) => error.code,
  );

/**
 * Both describe a pool that runs. What virsh mounts, it mounts where only libvirtd sees it.
 * @param {import('xenner/mgmt').StoragePool} pool
 */
async function beside(pool) {
  const { name } = pool;
  const file = join(place, 'pool.xml');
  writeFileSync(file, await pool.xml({ inactive: true }));
  const said = virsh(`pool-define ${file}`, `pool-start ${name}`, `pool-refresh ${name}`, `vol-list ${name}`);
  const names = said.split('\n').flatMap((line) => /^ (\S+) +\/\S+$/.exec(line)?.[1] ?? []);
  const documents = { ours: await ours(pool) };
  const show = names.map((volume) => `vol-dumpxml ${volume} ${name}`);
  const shown = virsh(...show, `pool-dumpxml ${name}`, `pool-destroy ${name}`, `pool-undefine ${name}`);
  const volumes = shown.match(/<volume .*?<\/volume>\n/gs) ?? [];
  return {
    ...documents,
    theirs: {
      pool: /<pool .*<\/pool>\n/s.exec(shown)?.[0],
      volumes: Object.fromEntries(names.map((volume, i) => [volume, volumes[i]])),
    },
  };
}

/** @param {string} name @param {number} mib */
const volume = (name, mib, more = '') =>
  `<volume><name>${name}</name><capacity unit='M'>${mib}</capacity>${more}</volume>`;
/** @param {string} name */
const format = (name) => `<target><format type='${name}'/></target>`;

/** The disks of scsi_debug, by their hosts' numbers. */
const hosts = readdirSync('/sys/class/scsi_host')
  .filter((name) => readFileSync(`/sys/class/scsi_host/${name}/proc_name`, 'latin1').trim() === 'scsi_debug')
  .map((name) => Number(name.slice(4)))
  .sort((a, b) => a - b);
const disks = hosts.map((number) => `/dev/${readdirSync(`/sys/bus/scsi/devices/${number}:0:0:0/block`)[0]}`);

async function fs() {
  const target = join(place, 'mnt');
  const pool = await pools.define(
    `<pool type='fs'><name>fs</name><source><device path='${disks[0]}'/><format type='ext4'/></source>
       <target><path>${target}</path></target></pool>`,
  );
  await pool.build({ noOverwrite: true });
  const built = await codeOf(() => pool.build({ noOverwrite: true }));
  await pool.start();
  await pool.createVolume(volume('raw', 2));
  await pool.createVolume(volume('cow', 8, format('qcow2')));
  const documents = await beside(pool);
  host('umount', target);
  const lost = {
    state: (await pool.info()).state,
    made: await codeOf(() => pool.createVolume(volume('x', 1))),
  };
  await pool.stop();
  await pool.start();
  const again = (await pool.listVolumes()).map(({ name }) => name);
  await pool.stop();
  await pool.delete();
  return { ...documents, built, lost, again };
}

/**
 * What a process leaves that is killed before a logical volume has its contents, or has not come so far yet.
 * @param {string} name @param {number} pid @param {number | string | undefined} start
 */
function halfMade(name, pid, start) {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  host(
    'lvcreate',
    '--name',
    name,
    '--size',
    '4M',
    '--addtag',
    `xenner-new:${boot}:${pid}:${start}`,
    'xenner_lab',
  );
}

async function logical() {
  const group = 'xenner_lab';
  const pool = await pools.define(
    `<pool type='logical'><name>vg</name><source><device path='${disks[1]}'/><device path='${disks[2]}'/>
       <name>${group}</name></source></pool>`,
  );
  await pool.build();
  const built = await codeOf(() => pool.build());
  await pool.start();
  await pool.createVolume(volume('plain', 10));
  const plain = await pool.lookupVolume('plain');
  writeFileSync(plain.path, Buffer.alloc(4 * MIB, 'x'));
  // Written to any later, the snapshot would overflow.
  const backing = `<backingStore><path>/dev/${group}/plain</path></backingStore>`;
  await pool.createVolume(volume('snap', 4, backing));
  await pool.createVolume(volume('sparse', 200, "<allocation unit='M'>8</allocation>"));
  await pool.createVolumeFrom(volume('copy', 60), plain);
  const bytes = readFileSync(plain.path);
  const copied = bytes.equals(readFileSync(`/dev/${group}/copy`).subarray(0, bytes.length));
  halfMade('dead', process.pid, 1);
  halfMade('alive', process.pid, readFileSync('/proc/self/stat', 'latin1').split(' ')[21]);
  const inGroup = () =>
    host('lvs', '--noheadings', '--options', 'lv_name', group).split(/\s+/).filter(Boolean);
  const listed = (await pool.listVolumes()).map(({ name }) => name);
  const refused = await codeOf(() => pool.createVolume(volume('huge', 500)));
  const after = inGroup();
  const byKey = (await pools.lookupVolumeByKey(plain.key)).path;
  const sources = {
    ours: await pools.findSources('logical'),
    theirs: virsh('find-storage-pool-sources logical'),
  };
  host('lvremove', '--yes', `${group}/alive`);
  const documents = await beside(pool);
  await pool.stop();
  await pool.start();
  for (const name of ['snap', 'copy']) await (await pool.lookupVolume(name)).delete();
  const fewer = (await pool.listVolumes()).map(({ name }) => name);
  await pool.stop();
  await pool.delete();
  return { ...documents, built, copied, listed, refused, after, byKey, sources, fewer };
}

/** @param {'gpt' | 'dos'} label @param {[number, string][]} partitions */
async function disk(label, partitions) {
  const pool = await pools.define(
    `<pool type='disk'><name>${label}</name><source><device path='${disks[0]}'/><format type='${label}'/></source>
       <target><path>/dev</path></target></pool>`,
  );
  const unbuilt = await codeOf(() => pool.start());
  await pool.build({ overwrite: true });
  const built = await codeOf(() => pool.build());
  await pool.start();
  /** @param {number} number */
  const node = (number) => `${disks[0].slice(5)}${number}`;
  const misnamed = await codeOf(() => pool.createVolume(volume('wrong', 1)));
  for (const [i, [mib, kind]] of partitions.entries())
    await pool.createVolume(volume(node(i + 1), mib, format(kind)));
  const huge = await codeOf(() => pool.createVolume(volume(node(partitions.length + 1), 500)));
  const documents = await beside(pool);
  await (await pool.lookupVolume(node(2))).delete();
  const fewer = (await pool.listVolumes()).map(({ name }) => name.replace(disks[0].slice(5), ''));
  await pool.stop();
  await pool.undefine();
  return { ...documents, unbuilt, built, misnamed, huge, fewer };
}

async function scsi() {
  const pool = await pools.create(
    `<pool type='scsi'><name>scsi</name><source><adapter name='host${hosts[0]}'/></source>
       <target><path>/dev</path></target></pool>`,
  );
  const documents = await beside(pool);
  writeFileSync('/sys/bus/pseudo/drivers/scsi_debug/max_luns', '2');
  const before = (await pool.listVolumes()).map(({ name }) => name);
  await pool.refresh();
  const after = (await pool.listVolumes()).map(({ name }) => name);
  const refused = [
    await codeOf(() => pool.createVolume(volume('unit:0:0:2', 1))),
    await codeOf(() =>
      pools.create(`<pool type='scsi'><name>b</name><source><adapter name='scsi_host${hosts[0]}'/></source>
       <target><path>/dev</path></target></pool>`),
    ),
    await codeOf(() =>
      pools.create(`<pool type='scsi'><name>b</name><source><adapter name='host9999'/></source>
       <target><path>/dev</path></target></pool>`),
    ),
  ];
  // A disk that is pulled out.
  writeFileSync(`/sys/bus/scsi/devices/${hosts[0]}:0:0:1/delete`, '1');
  const pulled = (await pool.listVolumes()).map(({ name }) => name);
  await pool.stop();
  return { ...documents, before, after, refused, pulled };
}

async function iscsi() {
  const target = 'iqn.2026-01.org.example:disks';
  const admin = (/** @type {string} */ mode, /** @type {string} */ op, /** @type {string[]} */ ...words) =>
    host('tgtadm', '--lld', 'iscsi', '--mode', mode, '--op', op, '--tid', '1', ...words);
  admin('target', 'new', '--targetname', target);
  for (const lun of ['1', '2']) {
    writeFileSync(join(place, lun), Buffer.alloc(4 * MIB));
    admin('logicalunit', 'new', '--lun', lun, '--backing-store', join(place, lun));
  }
  admin('target', 'bind', '--initiator-address', 'ALL');
  const sources = {
    ours: await pools.findSources('iscsi', "<source><host name='127.0.0.1'/></source>"),
    theirs: virsh('find-storage-pool-sources-as iscsi 127.0.0.1'),
  };
  const source = `<host name='127.0.0.1' port='3260'/><device path='${target}'/>`;
  const xml = (
    /** @type {string} */ more,
  ) => `<pool type='iscsi'><name>iscsi</name><source>${source}${more}</source>
    <target><path>/dev/disk/by-path</path></target></pool>`;
  const pool = await pools.define(xml(''));
  await pool.start();
  const found = await pools.lookupByName('iscsi');
  const documents = await beside(found);
  // virsh has logged out.
  const lost = (await found.info()).state;
  await found.stop();
  await found.undefine();
  const named = await pools.define(xml("<initiator><iqn name='iqn.2026-01.org.example:me'/></initiator>"));
  await named.start();
  const [session] = readdirSync('/sys/class/iscsi_session');
  const initiator = readFileSync(`/sys/class/iscsi_session/${session}/initiatorname`, 'latin1').trim();
  await (await pools.lookupByName('iscsi')).stop();
  const left = readdirSync('/sys/class/iscsi_session');
  return { ...documents, sources, lost, initiator, left };
}

/** @type {Record<string, () => Promise<object>>} */
const scenarios = {
  fs,
  logical,
  scsi,
  iscsi,
  gpt: () =>
    disk('gpt', [
      [10, 'none'],
      [9, 'none'],
      [8, 'none'],
    ]),
  dos: () =>
    disk('dos', [
      [10, 'none'],
      [9, 'linux-swap'],
      [8, 'none'],
      [20, 'extended'],
      [5, 'none'],
    ]),
};
/** @type {Record<string, object>} */
const results = {};
for (const name of process.argv.slice(2)) {
  const start = Date.now();
  results[name] = { ...(await scenarios[name]()), ms: Date.now() - start };
}
console.log(JSON.stringify(results));
