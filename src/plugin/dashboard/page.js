'use strict';
const $ = id => document.getElementById(id);
const KEPT = 300;
let points = [], pages = [], tick = 2000;

/* ---- words: everything from outside becomes a text node, never markup ---- */

function el(name, text, cls) {
	const e = document.createElement(name);
	if (text !== undefined && text !== null)
		e.textContent = text;
	if (cls)
		e.className = cls;
	return e;
}

function fill(id, ...children) {
	$(id).replaceChildren(...children);
}

function num(v) {
	if (v === null || v === undefined)
		return '\u2013';
	if (v >= 1e6)
		return (v / 1e6).toFixed(v < 1e7 ? 2 : 1) + ' M';
	if (v >= 1e4)
		return (v / 1e3).toFixed(1) + ' k';
	return v >= 100 || Number.isInteger(v) ? Math.round(v).toString() : v >= 10 ? v.toFixed(1) : v.toFixed(2);
}

function secs(v) {
	if (v === null || v === undefined)
		return '\u2013';
	if (v === 0)
		return '0';
	if (v < 1e-3)
		return Math.round(v * 1e6) + ' \u00b5s';
	return v < 1 ? (v * 1e3).toFixed(v < 1e-2 ? 1 : 0) + ' ms' : v.toFixed(1) + ' s';
}

const percent = v => v === null || v === undefined ? '\u2013' : (v * 100).toFixed(v > 0 && v < .1 ? 1 : 0) + ' %';

function since(s) {
	if (s === null || s < 0)
		return '\u2013';
	const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
	return d ? d + ' d ' + h + ' h' : h ? h + ' h ' + m + ' min' : m ? m + ' min' : Math.floor(s) + ' s';
}

const bytes = v => v === null || v === undefined ? '\u2013' : v >= 1 << 30 ? (v / (1 << 30)).toFixed(1) + ' GiB' : (v / (1 << 20)).toFixed(0) + ' MiB';

/* ---- parts ---- */

function bars(id, rows, most, value) {
	const list = el('ul', null, 'bars');
	for (const r of rows) {
		const li = el('li'), bar = el('div', null, 'bar');
		bar.style.width = (most > 0 ? 100 * r.size / most : 0) + '%';
		li.append(bar, el('span', r.name), el('span', value(r)));
		list.append(li);
	}
	fill(id, rows.length ? list : el('p', 'nothing yet', 'small'));
}

function table(heads, rows) {
	const t = el('table'), top = el('tr'), head = el('thead'), body = el('tbody');
	for (const h of heads) {
		const th = el('th', h.replace('#', ''), h.startsWith('#') ? 'n' : '');
		th.scope = 'col';
		top.append(th);
	}
	head.append(top);
	for (const r of rows) {
		const tr = el('tr');
		r.forEach((c, i) => tr.append(c instanceof Node ? c : el('td', c, heads[i].startsWith('#') ? 'n' : '')));
		body.append(tr);
	}
	t.append(head, body);
	return t;
}

function svg(name, attributes) {
	const e = document.createElementNS('http://www.w3.org/2000/svg', name);
	for (const k in attributes)
		e.setAttribute(k, attributes[k]);
	return e;
}

/* lines: [class, index of the value in a point] */
function plot(id, lines, format, label) {
	const W = $(id).clientWidth || 480, H = $(id).clientHeight || 170, left = 56, low = H - 20, wide = W - left - 6;
	const s = svg('svg', { viewBox: '0 0 ' + W + ' ' + H, role: 'img' });
	const now = points.length ? points[points.length - 1][0] : 0, span = KEPT * tick / 1000;
	let most = 0;
	for (const p of points)
		for (const [, k] of lines)
			most = Math.max(most, p[k] || 0);
	const step = most > 0 ? Math.pow(10, Math.floor(Math.log10(most))) : 1;
	most = most > 0 ? Math.ceil(most / step * 2) / 2 * step : 1;
	const x = t => left + wide * (1 - (now - t) / span), y = v => low - (low - 8) * v / most;
	for (let i = 0; i <= 2; i++) {
		s.append(svg('line', { class: 'grid', x1: left, x2: W - 6, y1: y(most * i / 2), y2: y(most * i / 2) }));
		const t = svg('text', { x: left - 8, y: y(most * i / 2) + 4, 'text-anchor': 'end' });
		t.textContent = format(most * i / 2);
		s.append(t);
	}
	for (const [when, anchor] of [[span, 'start'], [span / 2, 'middle'], [0, 'end']]) {
		const t = svg('text', { x: x(now - when), y: H - 4, 'text-anchor': anchor });
		t.textContent = when ? Math.round(when / 60) + ' min ago' : 'now';
		s.append(t);
	}
	for (const [cls, k] of lines) {
		let d = '', begun = false, from = 0, to = 0;
		for (const p of points) {
			if (p[k] === null || now - p[0] > span) {
				begun = false;
				continue;
			}
			from = from || x(p[0]);
			to = x(p[0]);
			d += (begun ? 'L' : 'M') + to.toFixed(1) + ' ' + y(p[k]).toFixed(1);
			begun = true;
		}
		if (cls === 'a' && d && d.lastIndexOf('M') === 0)
			s.append(svg('path', { class: 'area', d: d + 'L' + to.toFixed(1) + ' ' + low + 'L' + from.toFixed(1) + ' ' + low + 'Z' }));
		s.append(svg('path', { class: cls, d: d || 'M0 0' }));
	}
	s.setAttribute('aria-label', label);
	fill(id, s);
}

/* ---- from the server ---- */

async function get(path) {
	const r = await fetch(path, { cache: 'no-store' });
	const j = await r.json();
	if (j.error)
		throw new Error(j.error);
	return j;
}

/* What takes its time is begun, and asked for until it is done. */
async function job(path, parameters) {
	let j = await get(path + '?' + new URLSearchParams(parameters));
	for (let wait = 20; !j.done; wait = Math.min(2 * wait, 500)) {
		await new Promise(done => setTimeout(done, wait));
		j = await get(path + '?id=' + j.id);
	}
	return j;
}

function facts(s) {
	const v = s.view, rows = [], list = $('facts');
	for (const k of v.kubernetes) {
		const word = el('span', !k.synced ? 'not synced' : k.connected ? 'synced' : 'synced, not connected now', k.synced && k.connected ? 'good' : 'bad');
		rows.push([k.source, word]);
		if (k.age !== null)
			rows.push(['last event', since(k.age) + ' ago']);
		for (const o of k.kinds)
			rows.push([o.kind, num(o.objects) + (o.resource_version === null ? '' : ', resourceVersion ' + o.resource_version)]);
	}
	if (v.reload.ok !== null)
		rows.push(['Corefile', el('span', v.reload.ok ? 'serves as it is' : 'the last change was refused', v.reload.ok ? 'good' : 'bad')]);
	if (v.reload.loaded_at !== null)
		rows.push(['loaded', since(s.now - v.reload.loaded_at) + ' ago']);
	if (v.reload.failed)
		rows.push(['failed reloads', num(v.reload.failed)]);
	if (v.panics)
		rows.push(['panics', num(v.panics)]);
	list.replaceChildren();
	for (const [k, w] of rows) {
		const dd = el('dd');
		dd.append(w);
		list.append(el('dt', k), dd);
	}
}

function tiles(v) {
	const answers = v.rcodes.reduce((n, r) => n + r.rate, 0);
	const failed = v.rcodes.reduce((n, r) => n + (r.name === 'NOERROR' || r.name === 'NXDOMAIN' ? 0 : r.rate), 0);
	$('t-rate').textContent = num(v.queries.rate) + '/s';
	$('t-total').textContent = num(v.queries.total) + ' since the start';
	$('t-p50').textContent = secs(v.latency.p50);
	$('t-p99').textContent = '99 % within ' + secs(v.latency.p99);
	$('t-err').textContent = percent(answers > 0 ? failed / answers : null);
	$('t-err').classList.toggle('bad', answers > 0 && failed / answers > .05);
	$('t-hit').textContent = v.cache ? percent(v.cache.hit_ratio) : 'no cache';
	$('t-cache').textContent = v.cache ? num(v.cache.entries) + ' entries, ' + num(v.cache.hits) + ' hits, ' + num(v.cache.misses) + ' misses' : '';
	$('t-busy').textContent = percent(v.saturation);
	$('t-mem').textContent = bytes(v.memory) + ' of memory';
}

function show(s) {
	const v = s.view, by = (a, b) => b.size - a.size, rate = r => num(r.size) + '/s', share = r => percent(r.share);
	const sized = rows => rows.map(r => ({ name: r.name, size: r.rate || 0, total: r.total })).filter(r => r.total > 0).sort(by).slice(0, 12);
	const shared = rows => rows.map(r => ({ name: r.name, size: r.share || 0, share: r.share })).slice(0, 12);
	const rcodes = sized(v.rcodes), plugins = sized(v.plugins), names = shared(s.top.names);
	tiles(v);
	bars('rcodes', rcodes, Math.max(...rcodes.map(r => r.size), 0), rate);
	bars('plugins', plugins, Math.max(...plugins.map(r => r.size), 0), rate);
	bars('names', names, Math.max(...names.map(r => r.size), 0), share);
	$('clients-card').hidden = !s.top.clients;
	if (s.top.clients) {
		const clients = shared(s.top.clients);
		bars('clients', clients, Math.max(...clients.map(r => r.size), 0), share);
	}
	fill('upstreams', v.upstreams.length ? table(['Server', '#a second', '#mean', '#failed checks', ''], v.upstreams.map(u =>
		[u.to, num(u.rate), secs(u.mean), num(u.failures), el('td', u.failing ? 'failing' : 'ok', u.failing ? 'bad' : 'good')])) :
		el('p', 'none was asked yet', 'small'));
	facts(s);
	$('about').textContent = s.server_version + ', up ' + since(v.uptime);
	$('note').hidden = s.prometheus;
	$('note').textContent = 'The server block of this page has no prometheus directive: what its zones are asked is not counted.';
	const bad = v.kubernetes.some(k => !k.synced || !k.connected) || v.upstreams.some(u => u.failing) || v.reload.ok === false;
	$('dot').className = bad ? 'dot bad' : 'dot ok';
	$('state').textContent = bad ? 'Something needs a look' : 'All is well';
}

function plots() {
	const last = points[points.length - 1] || [];
	plot('p-rate', [['a', 1], ['c', 2]], num, 'Queries a second over ten minutes, now ' + num(last[1]));
	plot('p-lat', [['a', 3], ['b', 4]], secs, 'Latency over ten minutes, median now ' + secs(last[3]));
}

async function update() {
	try {
		const [s, h] = await Promise.all([get('api/status'), get('api/history?after=' + (points.length ? points[points.length - 1][0] : 0))]);
		tick = h.interval * 1000;
		points = points.concat(h.points).slice(-KEPT);
		show(s);
		plots();
		if ($('services-card').hidden && s.cluster) {
			$('services-card').hidden = false;
			services();
		}
		document.body.dataset.ready = 'yes';
	} catch (e) {
		$('dot').className = 'dot bad';
		$('state').textContent = 'No answer from the server';
	}
	setTimeout(update, document.hidden ? 5 * tick : tick);
}

/* ---- explain ---- */

function explained(j) {
	const out = [], p = el('p');
	if (j.silent)
		p.append('The server would not answer this at all.');
	else
		p.append(el('strong', j.rcode || 'no answer'), j.by ? ' from plugin ' : ' from no plugin', el('strong', j.by || ''), ' in ' + secs(j.seconds),
			j.authoritative ? ', authoritative' : '');
	out.push(p);
	if (j.zone)
		out.push(el('p', 'Server block ' + j.zone + (j.view ? ' (view ' + j.view + ')' : '') + ' at ' + j.server + ': ' + j.chain.split(' ').join(' \u2192 '), 'small'));
	if (j.reason)
		out.push(el('p', j.reason, 'bad'));
	if (j.records.length)
		out.push(table(['Name', '#TTL', 'Type', 'Data'], j.records.map(r => {
			const td = el('td');
			td.append(el('code', r.data));
			return [r.name, r.ttl, r.type, td];
		})));
	if (j.count > j.records.length)
		out.push(el('p', 'and ' + (j.count - j.records.length) + ' more', 'small'));
	const box = el('div', null, 'wide');
	box.append(...out);
	fill('e-out', box);
}

$('explain').addEventListener('submit', async e => {
	e.preventDefault();
	fill('e-out', el('p', 'asking', 'small'));
	try {
		explained(await job('api/explain', { name: $('e-name').value.trim(), type: $('e-type').value }));
	} catch (why) {
		fill('e-out', el('p', why.message, 'bad'));
	}
});

/* ---- services ---- */

async function services() {
	const at = pages[pages.length - 1] || {};
	$('s-count').textContent = 'looking';
	try {
		const j = await job('api/services', Object.assign({ q: $('s-q').value.trim(), limit: 25 }, at));
		$('s-count').textContent = num(j.matched) + ' of ' + num(j.total) + ' services';
		fill('services', table(['Service', 'Type', 'Addresses', 'Ports', '#Ready'], j.services.map(s => {
			const none = s.type !== 'ExternalName' && s.ready === 0;
			return [s.name + '.' + s.namespace, s.type || 'gone', s.type === 'ExternalName' ? s.external_name : (s.addresses || []).join(', '),
				(s.ports || []).map(p => (p.name ? p.name + ' ' : '') + p.port + '/' + p.protocol).join(', '),
				el('td', s.type === 'ExternalName' ? '' : num(s.ready) + ' of ' + num(s.endpoints), none ? 'n bad' : 'n')];
		})));
		const last = j.services[j.services.length - 1];
		$('s-next').disabled = !j.more;
		$('s-prev').disabled = !pages.length;
		$('s-next').onclick = () => {
			pages.push({ after_namespace: last.namespace, after_name: last.name, after_zone: last.zone });
			services();
		};
	} catch (why) {
		$('s-count').textContent = why.message;
	}
}

$('s-prev').addEventListener('click', () => {
	pages.pop();
	services();
});
$('search').addEventListener('submit', e => {
	e.preventDefault();
	pages = [];
	services();
});

async function zones() {
	try {
		const j = await get('api/zones');
		fill('zones', table(['Zone', 'Address', 'Plugins'], j.zones.map(z => [z.zone + (z.view ? ' (' + z.view + ')' : ''), z.server, z.plugins])));
	} catch (why) {
		fill('zones', el('p', why.message, 'bad'));
	}
}

window.addEventListener('resize', plots);
zones();
update();
