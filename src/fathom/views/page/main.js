document.getElementById('fathom').textContent = 'fathom';
