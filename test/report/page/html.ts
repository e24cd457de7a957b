import t from 'tap'
import { escape, html, scriptJson, trusted } from '../../../report/page/html.ts'

t.test('what is put into a template is text', t => {
  const evil = `<img src=x onerror="alert('1')">&amp;`
  t.equal(
    html`<p title="${evil}">${evil}</p>`.text,
    '<p title="&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;amp;">&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;amp;</p>',
  )
  t.end()
})

t.test('HTML stays, lists are joined, nothing leaves nothing', t => {
  const items = ['a', '<b>'].map(item => html`<li>${item}</li>`)
  t.equal(
    html`<i>${items}${undefined}${false}${0}${''}${trusted('<hr>')}</i>`.text,
    '<i><li>a</li><li>&lt;b&gt;</li>0<hr></i>',
  )
  t.end()
})

t.test('indentation of a template is left out, that of its values is not', t => {
  // By another name, so that nobody lays it out anew.
  const template = html
  const made = template`<pre>
      ${'a\n    b'}
    </pre>`
  t.equal(made.text, '<pre>\na\n    b\n</pre>')
  t.end()
})

t.test('what no parser takes, or disguises text, is replaced', t => {
  t.equal(escape('a\u0000b\ud800c\u202ed\u2066e\u0085'), 'a\ufffdb\ufffdc\ufffdd\ufffde\ufffd')
  t.equal(escape('a\tb\nc \u{1f600} ü'), 'a\tb\nc \u{1f600} ü')
  t.end()
})

t.test('JSON cannot end its element', t => {
  const value = { case: '</script><script>alert(1)</script><!--' }
  const { text } = scriptJson(value)
  t.notMatch(text, '<')
  t.same(JSON.parse(text), value)
  t.end()
})
